import type { DType, TypedArray } from "../dtype.ts";
import type { Device, DeviceMemory } from "../device.ts";
import { DeviceError, KernelError, MemoryError, ShapeError } from "../errors.ts";
import { checkOp, type Op, type Operands, type Params } from "../op.ts";
import { elementsOf, type Tensor } from "../tensor.ts";
import { addressOf, Arena, WasmBuffer } from "./arena.ts";
import { chooseKernels, Kernels, type ChosenKernels, type KernelBuilds, type WasmBuild, type WasmSource } from "./kernels.ts";
import { WorkerPool } from "./pool.ts";
import { planSteps, rangesOf } from "./program.ts";
import { TaskQueue, type OpTask } from "./task-queue.ts";
import type { WorkerHost } from "./worker-host.ts";
import type { Pace, Schedule, Throttle } from "./pace.ts";
import { CONTROL_WORDS } from "./worker-main.ts";

export interface WasmDeviceOptions {
  /** The kernels: builds to choose from, or one of them, of which `build` says what it is. */
  wasm: KernelBuilds | WasmSource;
  /** `simd` or `relaxed`; by default the fastest that the engine accepts, and `simd` where `wasm` is a single build. */
  build?: WasmBuild;
  /** The most bytes of linear memory to use; default 4 GiB, all that 32-bit addresses reach. */
  hostMemory?: number | undefined;
  /** Workers that share one memory; 1, the default, computes on the calling thread. */
  threads?: number;
  /** How this runtime starts workers; needed for more than one thread. */
  workers?: WorkerHost;
  /** Who decides how much of the CPU the threads take; by default all they can get. With it even one thread is a worker. */
  pace?: Pace;
}

const PAGE = 65536;
const MAX_PAGES = 65536;
const SCRATCH_ALIGN = 64;
const MOST_THREADS = 256; // beyond any machine of today; each is a JavaScript engine of its own
const YIELD_AFTER_MS = 10; // the longest that the event loop waits for a computation

/**
 * One linear memory; ops are queued and run when someone waits for them: tile by tile on this thread, or,
 * with a pool, as one program that all workers walk through.
 */
export class WasmDevice implements Device, Throttle {
  readonly kind = "wasm";
  readonly build: WasmBuild;
  readonly #kernels: Kernels;
  readonly #arena: Arena;
  readonly #queue: TaskQueue;
  #scratch: WasmBuffer;
  #turnEnds = 0; // when the event loop has its turn: many short computations in a row are one long one to it
  #disposed = false;
  #pool: WorkerPool | undefined;
  #pace: Pace | undefined;

  private constructor(kernels: Kernels, memory: WebAssembly.Memory, build: WasmBuild, limit: number) {
    this.#kernels = kernels;
    this.build = build;
    this.#arena = new Arena(memory, kernels.heapBase, limit);
    this.#scratch = this.#arena.allocate(64, "scratch");
    this.#queue = new TaskQueue((ops) => (this.#pool ? this.#runWithPool(this.#pool, ops) : this.#runHere(ops)), () => this.#pool !== undefined);
  }

  get threads(): number {
    return this.#pool?.size ?? 1;
  }

  get allowance(): number {
    return this.#pool?.allowance ?? 1;
  }

  /** @throws ShapeError when it is no number above 0, or the device has no workers. */
  set allowance(threads: number) {
    if (!this.#pool) throw new ShapeError("allowance", "a device without workers", { expected: "a device with threads or a pace", got: this.description });
    if (!(threads > 0 && threads <= this.threads)) throw new ShapeError("allowance", "threads", { expected: `above 0, at most ${this.threads}`, got: threads });
    this.#pool.allowance = threads;
  }

  /** What of the CPU this device takes. */
  get schedule(): Schedule {
    const fair = { policy: "fair", most: this.threads, least: this.threads, changes: 0 } as const;
    return { ...(this.#pace?.record ?? fair), threads: this.threads, nice: this.#pool?.nice };
  }

  static async create(options: WasmDeviceOptions): Promise<WasmDevice> {
    const { threads = 1, workers, pace } = options;
    if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS) throw new ShapeError("threads", "not a number of threads", { expected: `a whole number from 1 to ${MOST_THREADS}`, got: threads });
    const shared = threads > 1 || pace !== undefined;
    const { memory, build, source, limit } = prepare(options, shared);
    const module = source instanceof WebAssembly.Module ? source : await Kernels.compile(source);
    const device = new WasmDevice(await Kernels.instantiate(module, memory), memory, build, limit);
    if (shared) await device.#startPool(threads, workers, module, memory);
    device.#pace = pace;
    try {
      await pace?.start(device);
    } catch (error) {
      await device.dispose();
      throw error;
    }
    return device;
  }

  async #startPool(threads: number, host: WorkerHost | undefined, module: WebAssembly.Module, memory: WebAssembly.Memory): Promise<void> {
    if (!host) throw new DeviceError("threads", "no way to start workers", { expected: "`workers`", got: "nothing", hint: "import createDevice from nibblelm/node, or use one thread" });
    const control = this.#arena.allocate(4 * CONTROL_WORDS, "thread control").address;
    this.#arena.fill(control, 4 * CONTROL_WORDS, 0);
    const store = (word: number, value: number): void => void (this.#arena.view("i32", control + 4 * word, [1])[0] = value);
    this.#pool = await WorkerPool.start(host, threads, module, memory, control, store);
  }

  /** For small, synchronous uses: `quantizeTensor`. Browsers may refuse it on their main thread. */
  static createSync(options: WasmDeviceOptions): WasmDevice {
    const { memory, build, source, limit } = prepare(options, false);
    return new WasmDevice(Kernels.instantiateSync(source, memory), memory, build, limit);
  }

  get description(): string {
    const pace = this.#pace ? `, ${this.#pace.description}` : "";
    return `wasm (${this.build === "relaxed" ? "relaxed SIMD" : "SIMD"}, ${this.threads} thread${this.threads === 1 ? "" : "s"}${pace})`;
  }

  get memory(): DeviceMemory {
    const { live, peak, buffers, limit } = this.#arena;
    return { live, peak, buffers, limit };
  }

  allocate(dtype: DType, shape: readonly number[], label: string): Tensor {
    const buffer = this.#arena.allocate(this.#arena.bytesFor(dtype, shape), label);
    return { dtype, shape, buffer, byteOffset: 0, label };
  }

  async tryAllocate(dtype: DType, shape: readonly number[], label: string): Promise<Tensor | undefined> {
    try {
      return this.allocate(dtype, shape, label);
    } catch (error) {
      if (error instanceof MemoryError) return undefined;
      throw error;
    }
  }

  free(tensor: Tensor): void {
    this.#release(tensor.buffer as WasmBuffer);
  }

  /** Not before the ops queued so far are done with it. */
  #release(buffer: WasmBuffer): void {
    if (this.#queue.idle) this.#arena.free(buffer);
    else this.#queue.addHost(() => this.#arena.free(buffer), buffer);
  }

  /** Memory that no op uses is written at once, while others run. */
  write(tensor: Tensor, data: TypedArray): void {
    if (data.length > elementsOf(tensor.shape)) {
      throw new ShapeError(tensor.label, "too much data to write", { expected: elementsOf(tensor.shape), got: data.length });
    }
    const buffer = tensor.buffer as WasmBuffer;
    if (!this.#queue.touches(buffer)) return this.#copyIn(tensor, data);
    const snapshot = data.slice();
    this.#queue.addHost(() => this.#copyIn(tensor, snapshot), buffer);
  }

  #copyIn(tensor: Tensor, data: TypedArray): void {
    this.#arena.view(tensor.dtype, addressOf(tensor), [data.length]).set(data);
  }

  run<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void {
    checkOp(op, operands, params);
    const args: number[] = [];
    for (const { name } of op.operands) args.push(addressOf(operands[name]));
    for (const { name } of op.params) args.push(params[name]);
    this.reserve(op, params);
    const { name, run } = this.#kernels.of(op as Op);
    const ranges = this.#pool ? rangesOf(op as Op, operands, params) : [];
    this.#queue.addOp({ kernel: name, run, args, ranges, tiles: op.tiles(params), operands: op.operands.length });
  }

  /** Scratch memory, grown when an op is queued, never while one runs. Each thread has its own part. */
  reserve<O extends string, P extends string>(op: Op<O, P>, params: Params<P>): void {
    const part = Math.ceil((op.scratch?.(params) ?? 0) / SCRATCH_ALIGN) * SCRATCH_ALIGN;
    if (part * this.threads <= this.#scratch.bytes) return;
    this.#release(this.#scratch);
    this.#scratch = this.#arena.allocate(part * this.threads, "scratch");
  }

  #runTiles(task: OpTask, begin: number, end: number): void {
    try {
      task.run(...task.args, begin, end, this.#scratch.address);
    } catch (cause) {
      throw new KernelError("wasm", "a kernel trapped", { got: `${task.kernel}: ${cause instanceof Error ? cause.message : String(cause)}`, cause });
    }
  }

  /** Runs the queue without returning to the event loop. */
  finishSync(): void {
    if (this.#pool) throw new DeviceError("wasm", "a device with threads cannot wait synchronously", { expected: "1 thread", got: this.threads });
    this.#queue.runSync((task) => this.#runTiles(task, 0, task.tiles));
  }

  readSync(tensor: Tensor): TypedArray {
    this.finishSync();
    return this.#copyOut(tensor);
  }

  finish(): Promise<void> {
    return this.#queue.whenReached(() => undefined);
  }

  read(tensor: Tensor, into?: TypedArray): Promise<TypedArray> {
    return this.#queue.whenReached(() => this.#copyOut(tensor, into), tensor.buffer as WasmBuffer);
  }

  #copyOut(tensor: Tensor, into?: TypedArray): TypedArray {
    const view = this.#arena.view(tensor.dtype, addressOf(tensor), tensor.shape);
    if (!into) return view.slice();
    into.set(view);
    return into.subarray(0, view.length);
  }

  /** One program; the newest scratch is large enough for all that is queued. */
  async #runWithPool(pool: WorkerPool, ops: readonly OpTask[]): Promise<void> {
    pool.check();
    if (!ops.length) return;
    const { address, bytes } = this.#scratch;
    const part = Math.floor(bytes / pool.size / SCRATCH_ALIGN) * SCRATCH_ALIGN;
    await pool.run(planSteps(ops), (worker) => address + worker * part);
  }

  async #runHere(ops: readonly OpTask[]): Promise<void> {
    for (const task of ops) {
      for (let tile = 0; tile < task.tiles; tile++) {
        this.#runTiles(task, tile, tile + 1);
        if (performance.now() < this.#turnEnds) continue;
        await nextTurn();
        this.#turnEnds = performance.now() + YIELD_AFTER_MS;
      }
    }
  }

  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    this.#queue.drop(new DeviceError("wasm", "the device is disposed"));
    await this.#queue.settled();
    this.#pace?.stop();
    await this.#pool?.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.dispose();
  }
}

function prepare(options: WasmDeviceOptions, shared: boolean): ChosenKernels & { memory: WebAssembly.Memory; limit: number } {
  const { hostMemory = MAX_PAGES * PAGE } = options;
  if (!(hostMemory > 0)) throw new ShapeError("hostMemory", "budget", { expected: "bytes above 0", got: hostMemory });
  const limit = Math.min(hostMemory, MAX_PAGES * PAGE);
  // The kernels declare this maximum; a smaller limit is the arena's to keep.
  return { memory: reserveMemory(shared), ...chooseKernels(options.wasm, options.build, shared), limit };
}

function reserveMemory(shared: boolean): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: 16, maximum: MAX_PAGES, shared });
  } catch (cause) {
    throw new MemoryError("wasm memory", "the engine reserved none", { expected: "4 GiB of addresses", got: cause instanceof Error ? cause.message : cause, hint: "is the process's address space limited (ulimit -v)?", cause });
  }
}

// A macrotask: timers, I/O and signals get their turn. setTimeout(0) costs 1 ms and more, so it comes last; edge-light has nothing else.
function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    if (typeof setImmediate === "function") return void setImmediate(resolve);
    if (typeof MessageChannel !== "function") return void setTimeout(resolve);
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
