import type { Faults } from "./faults.ts";
import { faultOf } from "./faults.ts";
import type { GpuBuffer, GpuMemory } from "./memory.ts";
import type { Pipeline } from "./pipelines.ts";

/** A range of a buffer, at the binding that a pipeline's slot names. */
export interface Binding {
  readonly buffer: GpuBuffer;
  readonly offset: number;
  readonly size: number;
}

const DISPATCHES = 256; // of one submit: as many sets of parameters exist
const GROUPS = 16384; // kept: a step of a large model needs some thousand
const FLOPS = 5e10; // of one submit: browsers end what keeps a GPU busy for seconds

/**
 * Records dispatches and copies in order and submits them together. Parameters go into one uniform buffer,
 * written before each submit; bind groups are kept for as long as their buffers live.
 */
export class Commands {
  readonly #device: GPUDevice;
  readonly #memory: GpuMemory;
  readonly #faults: Faults;
  readonly #uniform: GpuBuffer;
  readonly #stride: number;
  readonly #staged: ArrayBuffer;
  readonly #paramBytes: number;
  readonly #groups = new Map<string, { readonly group: GPUBindGroup; readonly buffers: ReadonlySet<number> }>();
  #encoder: GPUCommandEncoder | undefined;
  #pass: GPUComputePassEncoder | undefined;
  #dispatches = 0;
  #flops = 0;

  constructor(device: GPUDevice, memory: GpuMemory, faults: Faults, paramBytes: number) {
    this.#device = device;
    this.#memory = memory;
    this.#faults = faults;
    this.#paramBytes = paramBytes;
    const align = device.limits.minUniformBufferOffsetAlignment;
    this.#stride = Math.ceil(paramBytes / align) * align;
    this.#uniform = memory.allocate(DISPATCHES * this.#stride, "uniform", "parameters");
    this.#staged = new ArrayBuffer(DISPATCHES * this.#stride);
  }

  get pending(): boolean {
    return this.#encoder !== undefined;
  }

  /** @param params at most `paramBytes`, a multiple of 4. */
  dispatch(pipeline: Pipeline, bindings: readonly Binding[], params: Uint8Array, workgroups: number, flops: number): void {
    if (this.#dispatches === DISPATCHES || this.#flops > FLOPS) this.flush();
    const group = this.#group(pipeline, bindings);
    const offset = this.#dispatches++ * this.#stride;
    this.#flops += flops;
    new Uint8Array(this.#staged, offset, params.length).set(params);
    const pass = this.#pass ??= this.#open().beginComputePass();
    const limit = this.#device.limits.maxComputeWorkgroupsPerDimension;
    pass.setPipeline(pipeline.gpu);
    pass.setBindGroup(0, group, [offset]);
    pass.dispatchWorkgroups(Math.min(workgroups, limit), Math.ceil(workgroups / limit));
  }

  copy(from: GpuBuffer, fromOffset: number, to: GpuBuffer, toOffset: number, bytes: number): void {
    this.encode((encoder) => encoder.copyBufferToBuffer(from.gpu, fromOffset, to.gpu, toOffset, bytes));
  }

  /** An empty pass that writes a timestamp. */
  stamp(timestampWrites: GPUComputePassTimestampWrites): void {
    this.encode((encoder) => encoder.beginComputePass({ timestampWrites }).end());
  }

  /** What passes of dispatches cannot say, in its place among them. */
  encode(work: (encoder: GPUCommandEncoder) => void): void {
    this.#endPass();
    work(this.#open());
  }

  #open(): GPUCommandEncoder {
    if (!this.#encoder) {
      this.#device.pushErrorScope("validation");
      this.#encoder = this.#device.createCommandEncoder();
    }
    return this.#encoder;
  }

  #endPass(): void {
    this.#pass?.end();
    this.#pass = undefined;
  }

  /** Submits what was recorded. */
  flush(): void {
    if (!this.#encoder) return;
    this.#endPass();
    if (this.#dispatches) this.#device.queue.writeBuffer(this.#uniform.gpu, 0, this.#staged, 0, this.#dispatches * this.#stride);
    this.#device.queue.submit([this.#encoder.finish()]);
    this.#encoder = undefined;
    this.#dispatches = 0;
    this.#flops = 0;
    this.#faults.pop((error) => faultOf("webgpu", error));
  }

  #group(pipeline: Pipeline, bindings: readonly Binding[]): GPUBindGroup {
    let key = pipeline.layoutKey;
    for (const { buffer, offset, size } of bindings) key += `|${buffer.id}+${offset}:${size}`;
    const known = this.#groups.get(key);
    if (known) return known.group;
    const entries: GPUBindGroupEntry[] = [{ binding: 0, resource: { buffer: this.#uniform.gpu, size: this.#paramBytes } }];
    bindings.forEach(({ buffer, offset, size }, i) => {
      entries.push({ binding: pipeline.slots[i].index + 1, resource: { buffer: buffer.gpu, offset, size } });
    });
    if (this.#groups.size === GROUPS) this.#groups.clear(); // offsets that move with every token would fill it
    const group = this.#device.createBindGroup({ layout: pipeline.layout, entries });
    this.#groups.set(key, { group, buffers: new Set(bindings.map(({ buffer }) => buffer.id)) });
    return group;
  }

  /** Frees a buffer after the commands that use it. */
  free(buffer: GpuBuffer): void {
    if (!this.#memory.has(buffer)) return;
    this.flush();
    for (const [key, { buffers }] of this.#groups) if (buffers.has(buffer.id)) this.#groups.delete(key);
    this.#memory.free(buffer);
  }
}
