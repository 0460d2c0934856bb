import type { Device } from "../device.ts";
import type { AdapterMatrices } from "../format/peft.ts";
import type { LoraModule } from "../nn/lora.ts";
import { addScaled, matmulNn } from "../ops/index.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import type { Edit } from "./convert-model.ts";
import { CHUNK } from "./read-tensor.ts";

/**
 * W += scaling · (B · A), all in f32, a chunk at a time: what PEFT's merge adds, in its order.
 * Only the rows of B · A that a chunk touches exist.
 */
export class LoraDelta implements Edit {
  readonly #device: Device;
  readonly #module: LoraModule;
  readonly #a: Tensor; // f32[r, in]
  readonly #b: Tensor; // f32[out, r]
  readonly #delta: Tensor; // f32[rows, in], rows enough for a chunk that begins and ends within a row

  constructor(device: Device, module: LoraModule, { a, b }: AdapterMatrices) {
    const { path, r, in: width, out } = module;
    this.#device = device;
    this.#module = module;
    this.#a = device.allocate("f32", [r, width], `${path}.lora_A`);
    this.#b = device.allocate("f32", [out, r], `${path}.lora_B`);
    this.#delta = device.allocate("f32", [Math.min(out, Math.ceil(CHUNK / width) + 1), width], `${path} delta`);
    device.write(this.#a, a);
    device.write(this.#b, b);
  }

  apply(values: Tensor, at: number, n: number): void {
    const { r, in: width, scaling } = this.#module;
    const first = Math.floor(at / width);
    const rows = Math.ceil((at + n) / width) - first;
    this.#device.run(matmulNn, { x: viewTensor(this.#b, [rows, r], first * r), w: this.#a, y: this.#delta }, { m: rows, n: width, k: r, xStride: r, accumulate: 0 });
    this.#device.run(addScaled, { x: viewTensor(this.#delta, [n], at - first * width), y: values }, { n, alpha: scaling });
  }

  dispose(): void {
    for (const tensor of [this.#a, this.#b, this.#delta]) this.#device.free(tensor);
  }
}
