import type { Device, DeviceMemory } from "../device.ts";
import { bytesOf, viewOf, type DType, type TypedArray } from "../dtype.ts";
import type { Op, Params } from "../op.ts";
import { elementsOf, type Tensor } from "../tensor.ts";

const ALIGN = 64; // the coarsest rounding of a device
const READ_BACK = [65536, 2 ** 24] as const; // least and most bytes of a GPU's buffers for reading

/**
 * Computes nothing and has no memory: it counts what a run would allocate on another device, by letting the same code
 * allocate here first. So what is needed is known to the byte, without a formula that could forget something.
 */
export class MeasuringDevice implements Device {
  readonly kind: Device["kind"];
  readonly build: string;
  readonly description: string;
  readonly #threads: number;
  #tensors: number;
  #scratch = 0;
  #readBack = 0;
  readonly #idle: number[] = []; // bytes of its buffers for reading that nobody uses now
  #peak = 0;
  #buffers = 0;

  /** @param device the one to measure for; what is allocated there already counts. */
  constructor(device: Device) {
    this.kind = device.kind;
    this.build = device.build;
    this.description = device.description;
    this.#threads = device.threads ?? 1;
    this.#tensors = device.memory.live;
  }

  /** No limit, and nothing left for what is welcome but not needed. */
  get memory(): DeviceMemory {
    return { live: this.#live, peak: this.#peak, buffers: this.#buffers, limit: this.#live };
  }

  get #live(): number {
    return this.#tensors + this.#scratch + this.#readBack;
  }

  #changed(): void {
    this.#peak = Math.max(this.#peak, this.#live);
  }

  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    const bytes = Math.max(ALIGN, Math.ceil((elementsOf(shape) * bytesOf(dtype)) / ALIGN) * ALIGN);
    this.#tensors += bytes;
    this.#buffers++;
    this.#changed();
    return { dtype, shape, buffer: { bytes }, byteOffset: 0, label };
  }

  async tryAllocate(dtype: DType, shape: readonly number[], label: string): Promise<Tensor> {
    return this.allocate(dtype, shape, label);
  }

  free(tensor: Tensor): void {
    this.#tensors -= tensor.buffer.bytes;
    this.#buffers--;
  }

  reserve<O extends string, P extends string>(op: Op<O, P>, params: Params<P>): void {
    const bytes = this.kind === "wasm" ? (op.scratch?.(params) ?? 0) + ALIGN : (op.gpu?.scratch?.(params) ?? 0);
    this.#scratch = Math.max(this.#scratch, bytes * this.#threads);
    this.#changed();
  }

  run<O extends string, P extends string>(op: Op<O, P>, _: unknown, params: Params<P>): void {
    this.reserve(op, params);
  }

  write(): void {}

  /** Zeros. A GPU keeps the buffers through which it reads; as many are in use as there are reads at once. */
  async read(tensor: Tensor, into?: TypedArray): Promise<TypedArray> {
    const bytes = elementsOf(tensor.shape) * bytesOf(tensor.dtype);
    const used: number[] = [];
    if (this.kind === "webgpu") for (let at = 0; at < bytes; at += READ_BACK[1]) used.push(this.#take(Math.min(READ_BACK[1], bytes - at)));
    await undefined;
    this.#idle.push(...used);
    return into ?? viewOf(tensor.dtype, new ArrayBuffer(bytes));
  }

  #take(bytes: number): number {
    const [least, most] = READ_BACK;
    const best = this.#idle.filter((idle) => idle >= bytes && (bytes > least || idle === least)).sort((a, b) => a - b)[0];
    if (best !== undefined) return this.#idle.splice(this.#idle.indexOf(best), 1)[0];
    const made = Math.min(most, Math.max(least, 2 ** Math.ceil(Math.log2(bytes))));
    this.#readBack += made;
    this.#changed();
    return made;
  }

  async finish(): Promise<void> {}
  async dispose(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}
