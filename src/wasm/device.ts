import type { DType, TypedArray } from "../dtype.ts";
import type { Device, DeviceMemory } from "../device.ts";
import { ShapeError } from "../errors.ts";
import { checkOp, type Op, type Operands, type Params } from "../op.ts";
import { elementsOf, type Tensor } from "../tensor.ts";
import { Arena, WasmBuffer } from "./arena.ts";
import { builtin, Kernels, pickBuild, type Kernel, type WasmBuild, type WasmSource } from "./kernels.ts";

export interface WasmDeviceOptions {
  /** Kernels to use instead of the ones inside the package. */
  wasm?: WasmSource;
  /** `simd` or `relaxed`; by default the fastest that the engine accepts. */
  build?: WasmBuild;
  /** The most bytes of linear memory to use; default 4 GiB, all that 32-bit addresses reach. */
  hostMemory?: number;
}

const PAGE = 65536;
const MAX_PAGES = 65536;
const YIELD_AFTER_MS = 10; // the longest that the event loop waits for a computation

type Task = { kernel: Kernel; args: number[]; tiles: number; scratch: number } | { write: () => void };

/** One thread, one linear memory; ops run tile by tile when someone waits for them. */
export class WasmDevice implements Device {
  readonly kind = "wasm";
  readonly build: WasmBuild;
  readonly #kernels: Kernels;
  readonly #arena: Arena;
  #queue: Task[] = [];
  #draining: Promise<void> | undefined;
  #scratch: WasmBuffer;
  #scratchNeed = 0;
  #disposed = false;

  private constructor(kernels: Kernels, memory: WebAssembly.Memory, build: WasmBuild, limit: number) {
    this.#kernels = kernels;
    this.build = build;
    this.#arena = new Arena(memory, kernels.heapBase, limit);
    this.#scratch = this.#arena.allocate(64, "scratch");
  }

  static async create(options: WasmDeviceOptions = {}): Promise<WasmDevice> {
    const { memory, build, limit } = prepare(options);
    return new WasmDevice(await Kernels.instantiate(options.wasm ?? builtin(build), memory), memory, build, limit);
  }

  /** For small, synchronous uses: `quantizeTensor`. Browsers may refuse it on their main thread. */
  static createSync(options: WasmDeviceOptions = {}): WasmDevice {
    const { memory, build, limit } = prepare(options);
    return new WasmDevice(Kernels.instantiateSync(options.wasm ?? builtin(build), memory), memory, build, limit);
  }

  get description(): string {
    return `wasm (${this.build === "relaxed" ? "relaxed SIMD" : "SIMD"}, 1 thread)`;
  }

  get memory(): DeviceMemory {
    const { live, peak, buffers } = this.#arena;
    return { live, peak, buffers };
  }

  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    const buffer = this.#arena.allocate(this.#arena.bytesFor(dtype, shape), label);
    return { dtype, shape, buffer, byteOffset: 0, label };
  }

  free(tensor: Tensor): void {
    if (this.#queue.length) this.#queue.push({ write: () => this.#arena.free(tensor.buffer as WasmBuffer) });
    else this.#arena.free(tensor.buffer as WasmBuffer);
  }

  write(tensor: Tensor, data: TypedArray): void {
    if (data.length > elementsOf(tensor.shape)) {
      throw new ShapeError(tensor.label, "too much data to write", { expected: elementsOf(tensor.shape), got: data.length });
    }
    if (!this.#queue.length) return this.#copyIn(tensor, data);
    const snapshot = data.slice();
    this.#queue.push({ write: () => this.#copyIn(tensor, snapshot) });
  }

  #copyIn(tensor: Tensor, data: TypedArray): void {
    this.#arena.view(tensor.dtype, addressOf(tensor), [data.length]).set(data);
  }

  run<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void {
    checkOp(op, operands, params);
    const args: number[] = [];
    for (const { name } of op.operands) args.push(addressOf(operands[name]));
    for (const { name } of op.params) args.push(params[name]);
    const scratch = op.scratch?.(params) ?? 0;
    this.#reserveScratch(scratch);
    this.#queue.push({ kernel: this.#kernels.of(op as Op), args, tiles: op.tiles(params), scratch });
  }

  /** Grown when an op is queued, never while one runs. */
  #reserveScratch(bytes: number): void {
    if (bytes <= this.#scratch.bytes) return;
    this.#scratchNeed = Math.max(this.#scratchNeed, bytes);
    this.#arena.free(this.#scratch);
    this.#scratch = this.#arena.allocate(this.#scratchNeed, "scratch");
  }

  #runTask(task: Task, begin: number, end: number): void {
    if ("write" in task) task.write();
    else task.kernel(...task.args, begin, end, this.#scratch.address);
  }

  /** Runs the queue without returning to the event loop. */
  finishSync(): void {
    const queue = this.#queue;
    this.#queue = [];
    for (const task of queue) this.#runTask(task, 0, "write" in task ? 0 : task.tiles);
  }

  readSync(tensor: Tensor): TypedArray {
    this.finishSync();
    return this.#arena.view(tensor.dtype, addressOf(tensor), tensor.shape).slice();
  }

  finish(): Promise<void> {
    this.#draining = (this.#draining ?? Promise.resolve()).then(() => this.#drain());
    return this.#draining;
  }

  async #drain(): Promise<void> {
    let deadline = performance.now() + YIELD_AFTER_MS;
    while (this.#queue.length) {
      const queue = this.#queue;
      this.#queue = [];
      for (const task of queue) {
        const tiles = "write" in task ? 1 : task.tiles;
        for (let tile = 0; tile < tiles; tile++) {
          this.#runTask(task, tile, tile + 1);
          if (performance.now() < deadline) continue;
          await nextTurn();
          deadline = performance.now() + YIELD_AFTER_MS;
        }
      }
    }
  }

  async read(tensor: Tensor): Promise<TypedArray> {
    await this.finish();
    return this.#arena.view(tensor.dtype, addressOf(tensor), tensor.shape).slice();
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#queue = [];
    await this.#draining;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function prepare(options: WasmDeviceOptions): { memory: WebAssembly.Memory; build: WasmBuild; limit: number } {
  const limit = Math.min(options.hostMemory ?? MAX_PAGES * PAGE, MAX_PAGES * PAGE);
  const memory = new WebAssembly.Memory({ initial: 16, maximum: MAX_PAGES });
  return { memory, build: options.build ?? pickBuild(), limit };
}

function addressOf(tensor: Tensor): number {
  return (tensor.buffer as WasmBuffer).address + tensor.byteOffset;
}

// A macrotask: timers, I/O and signals get their turn. setTimeout(0) would cost 1 ms and more.
const channel = typeof setImmediate === "function" ? undefined : new MessageChannel();
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (!channel) return void setImmediate(resolve);
    channel.port1.addEventListener("message", () => resolve(), { once: true });
    channel.port1.start();
    channel.port2.postMessage(0);
  });
}
