import type { Device, DeviceMemory } from "../device.ts";
import { bytesOf, viewOf, type DType, type TypedArray } from "../dtype.ts";
import { ShapeError, type DeviceError } from "../errors.ts";
import { checkOp, tilingsOf, type Op, type Operands, type Params, type Tiling, type Variant } from "../op.ts";
import { bytesOfTensor, elementsOf, type Tensor } from "../tensor.ts";
import { adapterFacts, requestAdapter, requestDevice, type AdapterFacts, type GpuOptions } from "./adapter.ts";
import { Commands, type Binding } from "./commands.ts";
import { Faults } from "./faults.ts";
import { GpuMemory, type GpuBuffer } from "./memory.ts";
import { Pipelines } from "./pipelines.ts";
import { Readback } from "./readback.ts";
import { Split } from "./split.ts";
import { Staging } from "./staging.ts";
import { Stopwatch } from "./stopwatch.ts";
import { buildOf } from "./variants.ts";
import { writeBytes } from "./write.ts";

const PARAM_BYTES = 128; // 32 scalars

export interface WebGpuDeviceOptions extends GpuOptions {
  /** The most bytes of all buffers together; by default as many as the GPU gives. */
  readonly gpuMemory?: number | undefined;
  /** Shaders to compile at once instead of at their first use: errors then show before anything is computed. */
  readonly ops?: readonly Op[];
  /** How matrix products are cut, or who chooses: the same results in other times. Default `workgroup`. */
  readonly tiling?: Tiling | ((device: WebGpuDevice) => Promise<Tiling>);
}

/** One GPU device and its queue. Ops are recorded when queued and submitted in batches. */
export class WebGpuDevice implements Device {
  readonly kind = "webgpu";
  readonly build: string;
  readonly variants: readonly Variant[];
  readonly adapter: AdapterFacts;
  /** Resolves when the driver takes the device away; every call then throws this error. */
  readonly lost: Promise<DeviceError>;
  readonly owner: GPU | undefined; // Dawn's devices die with the object they came from
  readonly #gpu: GPUDevice;
  readonly #faults: Faults;
  readonly #memory: GpuMemory;
  readonly #pipelines: Pipelines;
  readonly #commands: Commands;
  readonly #readback: Readback;
  readonly #staging: Staging;
  readonly #split: Split;
  readonly #stopwatch: Stopwatch;
  readonly #params = new DataView(new ArrayBuffer(PARAM_BYTES));
  #scratch: GpuBuffer | undefined;
  #disposed: Promise<void> | undefined;

  private constructor(gpu: GPUDevice, adapter: AdapterFacts, { gpu: owner, gpuMemory = Infinity, variants = [] }: WebGpuDeviceOptions) {
    this.owner = owner;
    this.#gpu = gpu;
    this.adapter = adapter;
    this.variants = variants;
    this.build = buildOf(variants);
    this.#faults = new Faults(gpu, adapter.name);
    this.lost = this.#faults.lost;
    this.#memory = new GpuMemory(gpu, this.#faults, gpuMemory);
    this.#pipelines = new Pipelines(gpu, this.#faults, PARAM_BYTES, variants);
    this.#commands = new Commands(gpu, this.#memory, this.#faults, PARAM_BYTES);
    this.#readback = new Readback(this.#memory, this.#commands, this.#faults);
    this.#staging = new Staging(this.#memory, this.#commands, gpu.limits);
    this.#split = new Split(this.#memory, this.#commands, this.#staging.largest);
    this.#stopwatch = new Stopwatch(gpu, this.#memory, this.#commands, this.#readback);
  }

  /** @throws DeviceError without a usable adapter; KernelError when a shader of `ops` does not compile. */
  static async create(options: WebGpuDeviceOptions = {}): Promise<WebGpuDevice> {
    const { gpuMemory } = options;
    if (gpuMemory !== undefined && !(gpuMemory > 0)) throw new ShapeError("gpuMemory", "budget", { expected: "bytes above 0", got: gpuMemory });
    const adapter = await requestAdapter(options);
    const device = new WebGpuDevice(await requestDevice(adapter, options), adapterFacts(adapter), options);
    const { tiling = device.tiling } = options;
    try {
      device.tiling = typeof tiling === "function" ? await tiling(device) : tiling;
      for (const op of options.ops ?? []) if (op.devices.includes("webgpu")) for (const pass of device.#pipelines.passesOf(op)) device.#pipelines.of(op, pass);
      await device.#faults.settle();
    } catch (error) {
      await device.dispose();
      throw error;
    }
    return device;
  }

  get tiling(): Tiling { return this.#pipelines.tiling; }
  /** @throws ShapeError for one that the variants of this device do not have. */
  set tiling(tiling: Tiling) {
    const possible = tilingsOf(this.variants);
    if (!possible.includes(tiling)) throw new ShapeError("webgpu", `tiling of the ${this.build} kernels`, { expected: possible.join(", "), got: tiling });
    this.#pipelines.tiling = tiling;
  }

  get description(): string {
    return `webgpu (${this.adapter.name}, ${this.build} kernels, ${this.tiling} tiling${this.adapter.software ? ", software adapter: computes on the CPU" : ""})`;
  }

  get memory(): DeviceMemory & { readonly created: number } {
    const { live, peak, buffers, limit, created } = this.#memory;
    return { live, peak, buffers, limit, created };
  }

  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    this.#faults.check();
    return { dtype, shape, buffer: this.#memory.allocate(elementsOf(shape) * bytesOf(dtype), "tensor", label), byteOffset: 0, label };
  }

  async tryAllocate(dtype: DType, shape: readonly number[], label: string): Promise<Tensor | undefined> {
    this.#faults.check();
    const buffer = await this.#memory.tryAllocate(elementsOf(shape) * bytesOf(dtype), label);
    return buffer && { dtype, shape, buffer, byteOffset: 0, label };
  }

  free(tensor: Tensor): void {
    this.#commands.free(tensor.buffer as GpuBuffer);
  }

  write(tensor: Tensor, data: TypedArray): void {
    if (data.length > elementsOf(tensor.shape)) {
      throw new ShapeError(tensor.label, "too much data to write", { expected: elementsOf(tensor.shape), got: data.length });
    }
    this.#faults.check();
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    writeBytes(this.#gpu, this.#commands, this.#pipelines, tensor.buffer as GpuBuffer, tensor.byteOffset, bytes);
  }

  run<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void {
    checkOp(op, operands, params);
    this.#faults.check();
    this.#split.run(op as Op, operands, params, (piece, call) => this.#launch(op as Op, piece, call));
  }

  #launch(op: Op, operands: Operands, params: Params): void {
    const paramBytes = this.#encodeParams(op, params);
    const { flops } = op.cost(params);
    const tensors = op.operands.map(({ name }) => operands[name]);
    const { bindings, after } = this.#staging.place(op, tensors, params);
    if (op.gpu?.scratch) bindings.push(this.#scratchOf(op.gpu.scratch(params)));
    for (const pass of this.#pipelines.passesOf(op)) {
      const workgroups = pass.workgroups(params);
      if (!workgroups) continue;
      const pipeline = this.#pipelines.of(op, pass);
      this.#commands.dispatch(pipeline, pipeline.slots.map(({ index }) => bindings[index]), paramBytes, workgroups, flops);
    }
    after();
  }

  #encodeParams(op: Op, params: Params): Uint8Array {
    op.params.forEach(({ name, type }, i) => {
      const at = 4 * i;
      if (type === "f32") this.#params.setFloat32(at, params[name], true);
      else if (type === "i32") this.#params.setInt32(at, params[name], true);
      else this.#params.setUint32(at, params[name], true);
    });
    return new Uint8Array(this.#params.buffer, 0, 4 * op.params.length);
  }

  reserve<O extends string, P extends string>(op: Op<O, P>, params: Params<P>): void {
    if (op.gpu?.scratch) this.#scratchOf(op.gpu.scratch(params));
  }

  #scratchOf(bytes: number): Binding {
    if (!this.#scratch || this.#scratch.bytes < bytes) {
      if (this.#scratch) this.#commands.free(this.#scratch);
      this.#scratch = this.#memory.allocate(bytes, "own", "scratch");
    }
    return { buffer: this.#scratch, offset: 0, size: this.#scratch.bytes };
  }

  async read(tensor: Tensor, into?: TypedArray): Promise<TypedArray> {
    this.#faults.check();
    const bytes = bytesOfTensor(tensor);
    const begin = tensor.byteOffset & ~3;
    const end = Math.ceil((tensor.byteOffset + bytes) / 4) * 4;
    const from = tensor.byteOffset - begin;
    if (into && from === 0 && end - begin === bytes) {
      await this.#readback.read(tensor.buffer as GpuBuffer, begin, bytes, new Uint8Array(into.buffer as ArrayBuffer, into.byteOffset, bytes));
      return into.subarray(0, elementsOf(tensor.shape));
    }
    const words = await this.#readback.read(tensor.buffer as GpuBuffer, begin, end - begin);
    return viewOf(tensor.dtype, from || bytes !== words.length ? words.slice(from, from + bytes).buffer : words.buffer);
  }

  time(work: () => void): Promise<number | undefined> {
    return this.#stopwatch.time(work);
  }

  async finish(): Promise<void> {
    this.#commands.flush();
    await this.#gpu.queue.onSubmittedWorkDone();
    await this.#faults.settle();
  }

  dispose(): Promise<void> {
    return this.#disposed ??= this.#close();
  }

  async #close(): Promise<void> {
    this.#faults.close();
    this.#commands.flush();
    await this.#gpu.queue.onSubmittedWorkDone().catch(() => undefined); // a lost device does nothing any more
    this.#memory.freeAll();
    this.#gpu.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

