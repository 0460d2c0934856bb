import type { Device } from "../device.ts";
import type { DType } from "../dtype.ts";
import { codeTable, dynamicTable, rankTable } from "../format/code-tables.ts";
import { dynamicLut } from "../format/dynamic-lut.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
// One by one: the index would bring every op into `nibblelm/quant`.
import { quantize4bit } from "../ops/quantize-4bit.ts";
import { quantize8bit } from "../ops/quantize-8bit.ts";
import type { Tensor } from "../tensor.ts";

const INPUT_TYPES: readonly DType[] = ["f32", "f16", "bf16"];

/** Quantizes to one kind of 4-bit blocks, with the tables it needs kept on the device. Only queues; the caller waits. */
export class Quantizer {
  readonly blocksize: number;
  /** f32[16]: what each code stands for. */
  readonly code: Float32Array<ArrayBuffer>;
  readonly #device: Device;
  readonly #thresholds: Tensor;
  readonly #codes: Tensor;
  #lut: Tensor | undefined;

  constructor(device: Device, type: "nf4" | "fp4", blocksize: number) {
    this.#device = device;
    this.blocksize = blocksize;
    this.code = codeTable(type);
    const { thresholds, codes } = rankTable(this.code);
    this.#thresholds = this.#put("thresholds", thresholds);
    this.#codes = this.#put("codes", codes);
  }

  #put(label: string, data: Float32Array | Uint8Array): Tensor {
    const tensor = this.#device.allocate(data instanceof Uint8Array ? "u8" : "f32", [data.length], label);
    this.#device.write(tensor, data);
    return tensor;
  }

  /** x [n] of f32, f16 or bf16 → packed u8[ceil(n / 2)], absmax f32[ceil(n / blocksize)]. */
  quantize(x: Tensor, packed: Tensor, absmax: Tensor, n: number): void {
    const operands = { x, thresholds: this.#thresholds, codes: this.#codes, packed, absmax };
    this.#device.run(quantize4bit, operands, { n, blocksize: this.blocksize, inputType: INPUT_TYPES.indexOf(x.dtype) });
  }

  /** Double quantization: absmax f32[blocks] − offset → q u8[blocks], nestedAbsmax f32[ceil(blocks / 256)]. */
  nest(absmax: Tensor, q: Tensor, nestedAbsmax: Tensor, blocks: number, offset: number): void {
    this.#lut ??= this.#put("lut", dynamicLut(dynamicTable()));
    this.#device.run(quantize8bit, { x: absmax, lut: this.#lut, q, absmax: nestedAbsmax }, { n: blocks, blocksize: NESTED_BLOCKSIZE, offset });
  }

  dispose(): void {
    for (const tensor of [this.#thresholds, this.#codes, this.#lut]) if (tensor) this.#device.free(tensor);
  }
}
