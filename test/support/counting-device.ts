import type { Device, DeviceMemory } from "../../src/device.ts";
import { bytesOf, type DType, type TypedArray } from "../../src/dtype.ts";
import { MemoryError } from "../../src/errors.ts";
import { elementsOf, type Tensor } from "../../src/tensor.ts";

interface FakeBuffer { readonly bytes: number; readonly content: Uint8Array; live: boolean }

/**
 * A device that computes nothing and counts everything. Work is queued as on a real one: writes take a copy at once and,
 * like the reads that `look` queues, happen in order when someone waits.
 */
export class CountingDevice implements Device {
  readonly kind: "wasm" | "webgpu";
  readonly description = "counting";
  readonly build = "none";
  allocations = 0;
  bytesUp = 0;
  bytesDown = 0;
  #reading = 0;
  /** The most bytes that were read at once. */
  mostReading = 0;
  /** Bytes of copies that queued writes hold, and the most at once. */
  #waiting = 0;
  mostWaiting = 0;
  #live = 0;
  #peak = 0;
  #buffers = 0;
  readonly #limit: number;
  /** Number of the allocation that fails for want of memory, from 1; all later ones do too. */
  failAt = Infinity;
  #queue: (() => void)[] = [];

  constructor(kind: "wasm" | "webgpu", limit = Infinity) {
    this.kind = kind;
    this.#limit = limit;
  }

  get memory(): DeviceMemory {
    return { live: this.#live, peak: this.#peak, buffers: this.#buffers, limit: this.#limit };
  }

  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    const bytes = elementsOf(shape) * bytesOf(dtype);
    if (++this.allocations >= this.failAt || this.#live + bytes > this.#limit) throw new MemoryError("counting", "full");
    this.#live += bytes;
    this.#peak = Math.max(this.#peak, this.#live);
    this.#buffers++;
    const buffer: FakeBuffer = { bytes, content: new Uint8Array(bytes), live: true };
    return { dtype, shape, buffer, byteOffset: 0, label };
  }

  async tryAllocate(dtype: DType, shape: readonly number[], label: string): Promise<Tensor | undefined> {
    try {
      return this.allocate(dtype, shape, label);
    } catch {
      return undefined;
    }
  }

  free(tensor: Tensor): void {
    const buffer = tensor.buffer as FakeBuffer;
    if (!buffer.live) throw new Error(`${tensor.label} freed twice`);
    buffer.live = false;
    this.#live -= buffer.bytes;
    this.#buffers--;
  }

  reserve(): void {}
  run(): void {}

  write(tensor: Tensor, data: TypedArray): void {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    this.bytesUp += bytes.length;
    this.#waiting += bytes.length;
    this.mostWaiting = Math.max(this.mostWaiting, this.#waiting);
    this.#queue.push(() => {
      (tensor.buffer as FakeBuffer).content.set(bytes, tensor.byteOffset);
      this.#waiting -= bytes.length;
    });
  }

  /** Queues an op that reads the tensor: `seen` gets what is there when it runs. */
  look(tensor: Tensor, seen: (bytes: Uint8Array) => void): void {
    const { content } = tensor.buffer as FakeBuffer;
    this.#queue.push(() => seen(content.subarray(tensor.byteOffset, tensor.byteOffset + elementsOf(tensor.shape) * bytesOf(tensor.dtype))));
  }

  async finish(): Promise<void> {
    const queue = this.#queue;
    this.#queue = [];
    await new Promise((resolve) => setImmediate(resolve)); // computing takes its time
    for (const work of queue) work();
  }

  /** Only f32, into `into`. */
  async read(tensor: Tensor, into?: TypedArray): Promise<TypedArray> {
    this.#reading += into!.byteLength;
    this.mostReading = Math.max(this.mostReading, this.#reading);
    this.look(tensor, (bytes) => into!.set(new Float32Array(bytes.slice().buffer)));
    await this.finish();
    this.bytesDown += into!.byteLength;
    this.#reading -= into!.byteLength;
    return into!;
  }

  async dispose(): Promise<void> {}
  async [Symbol.asyncDispose](): Promise<void> {}
}
