import { MemoryError } from "../errors.ts";
import type { DeviceBuffer } from "../tensor.ts";
import { COPY_DST, COPY_SRC, MAP_READ, QUERY_RESOLVE, STORAGE, UNIFORM } from "./constants.ts";
import type { Faults } from "./faults.ts";

export class GpuBuffer implements DeviceBuffer {
  readonly bytes: number;
  readonly gpu: GPUBuffer;
  /** Part of the keys of cached bind groups. */
  readonly id: number;
  readonly use: GpuBufferUse;
  constructor(gpu: GPUBuffer, bytes: number, id: number, use: GpuBufferUse) {
    this.gpu = gpu;
    this.bytes = bytes;
    this.id = id;
    this.use = use;
  }
}

/** `own` is for the device itself: scratch and spare buffers. */
export type GpuBufferUse = "tensor" | "own" | "uniform" | "readback" | "resolve";
const STORED = STORAGE | COPY_SRC | COPY_DST;
const USAGE: Record<GpuBufferUse, number> = { tensor: STORED, own: STORED, uniform: UNIFORM | COPY_DST, readback: MAP_READ | COPY_DST, resolve: QUERY_RESOLVE | COPY_SRC };
const ALIGN = 16; // so that a shader may see any tensor as vec4

/** Creates and destroys every buffer of a device, and counts them. */
export class GpuMemory {
  readonly #device: GPUDevice;
  readonly #faults: Faults;
  #live = new Set<GpuBuffer>();
  #bytes = 0;
  #peak = 0;
  #created = 0;
  #tensors = 0;
  /** The most bytes of all buffers together. */
  readonly limit: number;

  constructor(device: GPUDevice, faults: Faults, limit: number) {
    this.#device = device;
    this.#faults = faults;
    this.limit = limit;
  }

  get live(): number { return this.#bytes; }
  get peak(): number { return this.#peak; }
  /** Those of tensors; bytes count the device's own too. */
  get buffers(): number { return this.#tensors; }
  /** Whether it came from here and was not freed. */
  has(buffer: GpuBuffer): boolean { return this.#live.has(buffer); }
  /** Buffers created so far: must stand still once a run is under way. */
  get created(): number { return this.#created; }

  /** @throws MemoryError when no buffer can be that large; running out of memory is reported late. */
  allocate(bytes: number, use: GpuBufferUse, label: string): GpuBuffer {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    const limit = this.#device.limits.maxBufferSize;
    if (size > limit) throw outOfMemory(label, size, `at most ${mib(limit)} in one buffer`);
    if (this.#bytes + size > this.limit) throw outOfMemory(label, size, `at most ${mib(this.limit - this.#bytes)}, what is left of ${mib(this.limit)}`);
    const gpu = this.#faults.scoped("out-of-memory", () => this.#create(size, use, label), (error) => outOfMemory(label, size, "free GPU memory", error));
    return this.#count(gpu, size, use);
  }

  /** A tensor's buffer, or undefined when there is no memory for it: known at once, and no fault of the device. */
  async tryAllocate(bytes: number, label: string): Promise<GpuBuffer | undefined> {
    const size = Math.max(ALIGN, Math.ceil(bytes / ALIGN) * ALIGN);
    if (size > this.#device.limits.maxBufferSize || this.#bytes + size > this.limit) return undefined;
    this.#device.pushErrorScope("out-of-memory");
    const gpu = this.#create(size, "tensor", label);
    const buffer = this.#count(gpu, size, "tensor");
    const refused = await this.#device.popErrorScope().catch(async (cause: unknown) => { throw await this.#faults.explain(cause); });
    if (!refused) return buffer;
    this.free(buffer);
    return undefined;
  }

  #create(size: number, use: GpuBufferUse, label: string): GPUBuffer {
    return this.#device.createBuffer({ label, size, usage: USAGE[use] });
  }

  #count(gpu: GPUBuffer, size: number, use: GpuBufferUse): GpuBuffer {
    const buffer = new GpuBuffer(gpu, size, this.#created++, use);
    this.#live.add(buffer);
    if (use === "tensor") this.#tensors++;
    this.#bytes += size;
    this.#peak = Math.max(this.#peak, this.#bytes);
    return buffer;
  }

  /** Commands that use it must have been submitted. A buffer of another life is gone already. */
  free(buffer: GpuBuffer): void {
    if (!this.#live.delete(buffer)) return;
    this.#bytes -= buffer.bytes;
    if (buffer.use === "tensor") this.#tensors--;
    buffer.gpu.destroy();
  }

  freeAll(): void {
    for (const buffer of [...this.#live]) this.free(buffer);
  }
}

function outOfMemory(label: string, size: number, expected: string, cause?: GPUError): MemoryError {
  return new MemoryError("webgpu memory", `no room for ${label}`, {
    expected, got: mib(size), cause,
    hint: "use a smaller batch, a shorter max_length or gradient checkpointing",
  });
}

export function mib(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)} MiB`;
}
