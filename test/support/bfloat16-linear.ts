import type { Device } from "../../src/device.ts";
import type { DType } from "../../src/dtype.ts";
import { Linear } from "../../src/nn/linear.ts";
import type { Llama } from "../../src/nn/llama.ts";
import type { QuantizedWeight } from "../../src/nn/weight.ts";
import { bf16ToF32, f32ToBf16, matmulNt } from "../../src/ops/index.ts";
import { elementsOf, viewTensor, type Tensor } from "../../src/tensor.ts";

/**
 * The golden QLoRA runs were made with the model in eval mode on a CPU with AVX512-BF16. There bitsandbytes computes
 * linears whose input needs no gradient (layer 0's q, k, v) as bf16(bf16(x) · W'ᵀ), W' = bf16(code) · bf16(absmax),
 * everything else in float32. This does the same, so that those files hold our trainer to their own bounds.
 */
class Bfloat16Linear extends Linear {
  readonly #dense: Tensor; // f32[out, in]
  readonly #rounded: Tensor; // bf16[rows · widest]
  readonly #input: Tensor; // f32[rows, in]

  constructor(base: Linear, dense: Tensor, rounded: Tensor, input: Tensor) {
    super(base.name, base.weight, base.bias);
    this.#dense = dense;
    this.#rounded = rounded;
    this.#input = input;
  }

  protected override multiplyBase(device: Device, x: Tensor, y: Tensor, rows: number): void {
    const { out, in: width } = this.weight;
    this.#round(device, x, this.#input, rows * width);
    device.run(matmulNt, { x: this.#input, w: this.#dense, y }, { m: rows, n: out, k: width, accumulate: 0 });
    this.#round(device, y, y, rows * out);
  }

  #round(device: Device, x: Tensor, y: Tensor, n: number): void {
    device.run(f32ToBf16, { x, y: this.#rounded }, { n });
    device.run(bf16ToF32, { x: this.#rounded, y }, { n });
  }
}

/** @returns what gives its memory back. */
export async function useBfloat16(model: Llama, rows: number): Promise<() => void> {
  const { device } = model;
  const tensors: Tensor[] = [];
  const make = (dtype: DType, shape: number[], label: string): Tensor => {
    tensors.push(device.allocate(dtype, shape, label));
    return tensors.at(-1)!;
  };
  const linears = model.layers[0].linears as Record<string, Linear>;
  for (const name of ["q_proj", "k_proj", "v_proj"]) {
    const base = linears[name];
    const { out, in: width } = base.weight;
    const dense = make("f32", [out, width], "bf16 weight");
    device.write(dense, await bfloat16Weight(device, base.weight as QuantizedWeight));
    const rounded = make("bf16", [rows * Math.max(out, width)], "bf16 values");
    linears[name] = new Bfloat16Linear(base, dense, rounded, make("f32", [rows, width], "bf16 input"));
  }
  return () => tensors.forEach((tensor) => device.free(tensor));
}

async function bfloat16Weight(device: Device, w: QuantizedWeight): Promise<Float32Array> {
  const packed = (await device.read(w.packed)) as Uint8Array;
  const code = (await device.read(viewTensor(w.code, [16]))) as Float32Array;
  const scales = await device.read(w.absmax);
  const nestedCode = (await device.read(w.nestedCode)) as Float32Array;
  const nestedAbsmax = (await device.read(w.nestedAbsmax)) as Float32Array;
  return Float32Array.from({ length: elementsOf([w.out, w.in]) }, (_, i) => {
    const block = Math.floor(i / w.blocksize);
    const absmax = w.nested ? Math.fround(Math.fround(nestedCode[scales[block]] * nestedAbsmax[block >> 8]) + w.nestedOffset) : scales[block];
    const nibble = i % 2 === 0 ? packed[i >> 1] >> 4 : packed[i >> 1] & 15;
    return Math.fround(toBfloat16(code[nibble]) * toBfloat16(absmax));
  });
}

function toBfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0];
}
