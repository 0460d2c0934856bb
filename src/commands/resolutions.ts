import type { Device } from "../device.ts";
import type { DType } from "../dtype.ts";
import { codeTable, dynamicTable } from "../format/code-tables.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
import { bf16ToF32, dequantize4bit, dequantizeInt4, dequantizeInt8, f16ToF32, f32ToBf16, f32ToF16, quantizeInt4, quantizeInt8 } from "../ops/index.ts";
import { Quantizer } from "../quant/quantizer.ts";
import type { Tensor } from "../tensor.ts";

/** From fine to coarse; `nf4+dq` is NF4 with double quantization, the integers have one absmax a block. */
export const RESOLUTIONS = ["f32", "bf16", "f16", "int8", "nf4", "nf4+dq", "fp4", "int4"] as const;
export type Resolution = (typeof RESOLUTIONS)[number];

/** Of codes and constants that grow with the tensor; the tables, 1.1 kB at most, do not. */
export function bytesAt(resolution: Resolution, n: number, blocksize: number): number {
  const blocks = Math.ceil(n / blocksize);
  switch (resolution) {
    case "f32": return 4 * n;
    case "bf16":
    case "f16": return 2 * n;
    case "int8": return n + 4 * blocks;
    case "nf4+dq": return Math.ceil(n / 2) + blocks + 4 * Math.ceil(blocks / NESTED_BLOCKSIZE);
    default: return Math.ceil(n / 2) + 4 * blocks;
  }
}

/** Takes values to a resolution and back, a chunk at a time. */
export class RoundTrips {
  readonly #device: Device;
  readonly #blocksize: number;
  readonly #quantizers: Record<"nf4" | "fp4", Quantizer>;
  readonly #t: ReturnType<typeof allocate>;

  /** @param capacity the most values of one call. */
  constructor(device: Device, blocksize: number, capacity: number) {
    this.#device = device;
    this.#blocksize = blocksize;
    this.#quantizers = { nf4: new Quantizer(device, "nf4", blocksize), fp4: new Quantizer(device, "fp4", blocksize) };
    this.#t = allocate(device, blocksize, capacity);
  }

  /** The absmax of each block of x: a view for the next call only. */
  absmax(x: Tensor, n: number): Tensor {
    this.#quantizers.nf4.quantize(x, this.#t.packed, this.#t.absmax, n);
    return { ...this.#t.absmax, shape: [Math.ceil(n / this.#blocksize)] };
  }

  /**
   * What is left of x [n] at a resolution. Only queues.
   * @param offset of double quantization: the mean of all absmax of the tensor.
   * @returns f32[n], overwritten by the next call.
   */
  run(resolution: Resolution, x: Tensor, n: number, offset: number): Tensor {
    const device = this.#device;
    const blocksize = this.#blocksize;
    const { f16, bf16, int8, packed, absmax, y } = this.#t;
    switch (resolution) {
      case "f32": return { ...x, shape: [n] };
      case "bf16": device.run(f32ToBf16, { x, y: bf16 }, { n }); device.run(bf16ToF32, { x: bf16, y }, { n }); break;
      case "f16": device.run(f32ToF16, { x, y: f16 }, { n }); device.run(f16ToF32, { x: f16, y }, { n }); break;
      case "int8": device.run(quantizeInt8, { x, q: int8, absmax }, { n, blocksize }); device.run(dequantizeInt8, { q: int8, absmax, y }, { n, blocksize }); break;
      case "int4": device.run(quantizeInt4, { x, packed, absmax }, { n, blocksize }); device.run(dequantizeInt4, { packed, absmax, y }, { n, blocksize }); break;
      default: this.#byTable(resolution, x, n, offset);
    }
    return { ...y, shape: [n] };
  }

  #byTable(resolution: "nf4" | "nf4+dq" | "fp4", x: Tensor, n: number, offset: number): void {
    const { packed, absmax, absmaxBytes, nestedAbsmax, dynamic, y } = this.#t;
    const nested = resolution === "nf4+dq";
    const type = nested ? "nf4" : resolution;
    const quantizer = this.#quantizers[type];
    quantizer.quantize(x, packed, absmax, n);
    if (nested) quantizer.nest(absmax, absmaxBytes, nestedAbsmax, Math.ceil(n / this.#blocksize), offset);
    const operands = { packed, absmax: nested ? absmaxBytes : absmax, code: this.#t[type], nestedAbsmax, nestedCode: dynamic, y };
    this.#device.run(dequantize4bit, operands, { n, blocksize: this.#blocksize, nested: nested ? 1 : 0, nestedOffset: offset, round: 0 });
  }

  dispose(): void {
    for (const tensor of Object.values(this.#t)) this.#device.free(tensor);
    for (const quantizer of Object.values(this.#quantizers)) quantizer.dispose();
  }
}

function allocate(device: Device, blocksize: number, capacity: number) {
  const blocks = Math.ceil(capacity / blocksize);
  const make = (dtype: DType, size: number): Tensor => device.allocate(dtype, [size], `resolution ${dtype}`);
  const put = (data: Float32Array): Tensor => {
    const tensor = make("f32", data.length);
    device.write(tensor, data);
    return tensor;
  };
  return {
    y: make("f32", capacity), f16: make("f16", capacity), bf16: make("bf16", capacity), int8: make("i8", capacity), packed: make("u8", Math.ceil(capacity / 2)),
    absmax: make("f32", blocks), absmaxBytes: make("u8", blocks), nestedAbsmax: make("f32", Math.ceil(blocks / NESTED_BLOCKSIZE)),
    nf4: put(codeTable("nf4")), fp4: put(codeTable("fp4")), dynamic: put(dynamicTable()),
  };
}
