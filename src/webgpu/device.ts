import type { Device, DeviceMemory } from "../device.ts";
import { bytesOf, viewOf, type DType, type TypedArray } from "../dtype.ts";
import { DeviceError, ShapeError, type NibbleError } from "../errors.ts";
import { checkOp, tilingsOf, type Op, type Operands, type Params, type Tiling, type Variant } from "../op.ts";
import { bytesOfTensor, elementsOf, type Tensor } from "../tensor.ts";
import { adapterFacts, requestAdapter, requestDevice, type AdapterFacts, type GpuOptions } from "./adapter.ts";
import type { Binding } from "./commands.ts";
import { GpuLife, PARAM_BYTES } from "./life.ts";
import type { GpuBuffer } from "./memory.ts";
import { buildOf } from "./variants.ts";
import { writeBytes } from "./write.ts";

const ASK_AGAIN = [0, 250, 1000]; // milliseconds: a driver that starts anew has no adapter for a moment

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
  readonly owner: GPU | undefined; // Dawn's devices die with the object they came from
  readonly #options: WebGpuDeviceOptions;
  readonly #params = new DataView(new ArrayBuffer(PARAM_BYTES));
  #life: GpuLife;
  #peak = 0; // of lives that have ended
  #disposed: Promise<void> | undefined;

  private constructor(gpu: GPUDevice, adapter: AdapterFacts, options: WebGpuDeviceOptions) {
    this.owner = options.gpu;
    this.adapter = adapter;
    this.variants = options.variants ?? [];
    this.build = buildOf(this.variants);
    this.#options = options;
    this.#life = new GpuLife(gpu, adapter.name, options.gpuMemory ?? Infinity, this.variants);
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
      await device.#compile();
    } catch (error) {
      await device.dispose();
      throw error;
    }
    return device;
  }

  async #compile(): Promise<void> {
    const { pipelines, faults } = this.#life;
    for (const op of this.#options.ops ?? []) if (op.devices.includes("webgpu")) for (const pass of pipelines.passesOf(op)) pipelines.of(op, pass);
    await faults.settle();
  }

  /** Resolves when the driver takes the device away; every call then throws this error. */
  get lost(): Promise<DeviceError> { return this.#life.faults.lost; }
  get fault(): NibbleError | undefined { return this.#life.faults.first; }

  async revive(): Promise<void> {
    const { tiling } = this;
    this.#peak = this.memory.peak;
    await this.#life.end(); // first, so that its memory is there again
    const adapter = await this.#sameAdapter();
    const gpu = await requestDevice(adapter, this.#options);
    if (this.#disposed) {
      gpu.destroy();
      throw new DeviceError("webgpu", "revived", { expected: "a device in use", got: "one that was disposed of" });
    }
    this.#life = new GpuLife(gpu, this.adapter.name, this.memory.limit, this.variants);
    this.tiling = tiling;
    await this.#compile();
  }

  /** On another one the same run would have other bits. */
  async #sameAdapter(): Promise<GPUAdapter> {
    let got = "";
    for (const wait of ASK_AGAIN) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      try {
        const adapter = await requestAdapter({ ...this.#options, gpuAdapter: undefined }); // one adapter gives one device
        got = adapterFacts(adapter).name;
        if (got === this.adapter.name) return adapter;
      } catch (cause) {
        got = cause instanceof Error ? cause.message.split("\n")[0] : String(cause);
      }
    }
    throw new DeviceError("webgpu", "no adapter in place of the lost one", { expected: this.adapter.name, got, hint: "go on from the last checkpoint when the GPU is back, or on another device" });
  }

  get tiling(): Tiling { return this.#life.pipelines.tiling; }
  /** @throws ShapeError for one that the variants of this device do not have. */
  set tiling(tiling: Tiling) {
    const possible = tilingsOf(this.variants);
    if (!possible.includes(tiling)) throw new ShapeError("webgpu", `tiling of the ${this.build} kernels`, { expected: possible.join(", "), got: tiling });
    this.#life.pipelines.tiling = tiling;
  }

  get description(): string {
    return `webgpu (${this.adapter.name}, ${this.build} kernels, ${this.tiling} tiling${this.adapter.software ? ", software adapter: computes on the CPU" : ""})`;
  }

  get memory(): DeviceMemory & { readonly created: number } {
    const { live, peak, buffers, limit, created } = this.#life.memory;
    return { live, peak: Math.max(this.#peak, peak), buffers, limit, created };
  }

  /** @throws DeviceError for a tensor of a life that has ended */
  #bufferOf({ buffer, label }: Tensor): GpuBuffer {
    if (!this.#life.memory.has(buffer as GpuBuffer)) throw new DeviceError("webgpu", label, { expected: "a tensor of this device", got: "one that was freed or lost with the device before it", hint: "load the model again" });
    return buffer as GpuBuffer;
  }

  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    const { faults, memory } = this.#life;
    faults.check();
    return { dtype, shape, buffer: memory.allocate(elementsOf(shape) * bytesOf(dtype), "tensor", label), byteOffset: 0, label };
  }

  async tryAllocate(dtype: DType, shape: readonly number[], label: string): Promise<Tensor | undefined> {
    const { faults, memory } = this.#life;
    faults.check();
    const buffer = await memory.tryAllocate(elementsOf(shape) * bytesOf(dtype), label);
    return buffer && { dtype, shape, buffer, byteOffset: 0, label };
  }

  free(tensor: Tensor): void {
    this.#life.commands.free(tensor.buffer as GpuBuffer);
  }

  write(tensor: Tensor, data: TypedArray): void {
    if (data.length > elementsOf(tensor.shape)) {
      throw new ShapeError(tensor.label, "too much data to write", { expected: elementsOf(tensor.shape), got: data.length });
    }
    const { faults, gpu, commands, pipelines } = this.#life;
    faults.check();
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    writeBytes(gpu, commands, pipelines, this.#bufferOf(tensor), tensor.byteOffset, bytes);
  }

  run<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void {
    checkOp(op, operands, params);
    const { faults, split } = this.#life;
    faults.check();
    for (const { name } of op.operands) this.#bufferOf(operands[name]);
    split.run(op as Op, operands, params, (piece, call) => this.#launch(op as Op, piece, call));
  }

  #launch(op: Op, operands: Operands, params: Params): void {
    const { staging, pipelines, commands } = this.#life;
    const paramBytes = this.#encodeParams(op, params);
    const { flops } = op.cost(params);
    const tensors = op.operands.map(({ name }) => operands[name]);
    const { bindings, after } = staging.place(op, tensors, params);
    if (op.gpu?.scratch) bindings.push(this.#scratchOf(op.gpu.scratch(params)));
    for (const pass of pipelines.passesOf(op)) {
      const workgroups = pass.workgroups(params);
      if (!workgroups) continue;
      const pipeline = pipelines.of(op, pass);
      commands.dispatch(pipeline, pipeline.slots.map(({ index }) => bindings[index]), paramBytes, workgroups, flops);
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
    const life = this.#life;
    if (!life.scratch || life.scratch.bytes < bytes) {
      if (life.scratch) life.commands.free(life.scratch);
      life.scratch = life.memory.allocate(bytes, "own", "scratch");
    }
    return { buffer: life.scratch, offset: 0, size: life.scratch.bytes };
  }

  async read(tensor: Tensor, into?: TypedArray): Promise<TypedArray> {
    const { faults, readback } = this.#life;
    faults.check();
    const buffer = this.#bufferOf(tensor);
    const bytes = bytesOfTensor(tensor);
    const begin = tensor.byteOffset & ~3;
    const end = Math.ceil((tensor.byteOffset + bytes) / 4) * 4;
    const from = tensor.byteOffset - begin;
    if (into && from === 0 && end - begin === bytes) {
      await readback.read(buffer, begin, bytes, new Uint8Array(into.buffer as ArrayBuffer, into.byteOffset, bytes));
      return into.subarray(0, elementsOf(tensor.shape));
    }
    const words = await readback.read(buffer, begin, end - begin);
    return viewOf(tensor.dtype, from || bytes !== words.length ? words.slice(from, from + bytes).buffer : words.buffer);
  }

  time(work: () => void): Promise<number | undefined> {
    return this.#life.stopwatch.time(work);
  }

  finish(): Promise<void> {
    return this.#life.finish();
  }

  dispose(): Promise<void> {
    return this.#disposed ??= this.#life.end();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}
