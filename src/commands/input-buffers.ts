import type { Device } from "../device.ts";
import { bf16ToF32, f16ToF32 } from "../ops/index.ts";
import { viewTensor, type Tensor } from "../tensor.ts";

/** Where a chunk of values arrives on the device. */
export class InputBuffers {
  readonly #device: Device;
  readonly #capacity: number;
  #values: Tensor | undefined; // f32[capacity]
  #halves: Tensor | undefined; // bf16[capacity], for f16 too

  constructor(device: Device, capacity: number) {
    this.#device = device;
    this.#capacity = capacity;
  }

  get values(): Tensor {
    return this.#values ??= this.#device.allocate("f32", [this.#capacity], "values");
  }

  get halves(): Tensor {
    return this.#halves ??= this.#device.allocate("bf16", [this.#capacity], "staging");
  }

  /** @returns the values, of their own dtype. */
  upload(values: Float32Array | Uint16Array, dtype: "f32" | "f16" | "bf16"): Tensor {
    const x: Tensor = dtype === "f32" ? this.values : { ...this.halves, dtype };
    this.#device.write(x, values);
    return viewTensor(x, [values.length]);
  }

  /** @returns the values in f32. */
  widen(x: Tensor): Tensor {
    if (x.dtype === "f32") return x;
    const [n] = x.shape;
    const y = viewTensor(this.values, [n]);
    this.#device.run(x.dtype === "bf16" ? bf16ToF32 : f16ToF32, { x, y }, { n });
    return y;
  }

  dispose(): void {
    for (const tensor of [this.#values, this.#halves]) if (tensor) this.#device.free(tensor);
  }
}
