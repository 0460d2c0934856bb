import { DeviceError, KernelError } from "../errors.ts";
import type { WorkerHandle, WorkerHost } from "./worker-host.ts";
import { CONTROL, type FromWorker, type ProgramOp } from "./worker-main.ts";

/** The one thread pool: workers over one shared memory that walk through programs of ops together. */
export class WorkerPool {
  readonly size: number;
  readonly #workers: readonly WorkerHandle[];
  #waiting: { answer: (message: FromWorker) => void; fail: (error: Error) => void }[] = [];
  #dead: Error | undefined;
  readonly #store: (word: number, value: number) => void;
  #allowance: number;
  #nice: number | undefined;

  private constructor(workers: readonly WorkerHandle[], store: (word: number, value: number) => void) {
    this.size = workers.length;
    this.#allowance = workers.length;
    this.#workers = workers;
    this.#store = store;
    workers.forEach((worker, i) => {
      worker.onMessage((message) => this.#waiting[i]?.answer(message));
      worker.onError((error) => this.#die(error));
    });
  }

  /**
   * @param control address of `CONTROL_WORDS` zeroed i32 words in `memory`.
   * @param store writes one of these words.
   */
  static async start(host: WorkerHost, size: number, module: WebAssembly.Module, memory: WebAssembly.Memory, control: number, store: (word: number, value: number) => void): Promise<WorkerPool> {
    let workers: WorkerHandle[];
    try {
      workers = await Promise.all(Array.from({ length: size }, () => host.spawn()));
    } catch (cause) {
      if (cause instanceof DeviceError) throw cause;
      throw new DeviceError("threads", "a worker did not start", { expected: `${size} workers`, got: cause instanceof Error ? cause.message : cause, hint: "use one thread", cause });
    }
    const pool = new WorkerPool(workers, store);
    pool.allowance = size;
    const answers = await pool.#ask(() => workers.forEach((worker, index) => worker.post({ type: "start", module, memory, control, words: CONTROL, workers: size, index })));
    const [first] = answers;
    pool.#nice = first.type === "ready" ? first.nice : undefined;
    return pool;
  }

  /** How the operating system ranks the workers, where the host knows. */
  get nice(): number | undefined {
    return this.#nice;
  }

  /** How much of the CPU the workers may take, in workers. In force from the next tile on. */
  get allowance(): number {
    return this.#allowance;
  }

  set allowance(workers: number) {
    const active = Math.min(this.size, Math.ceil(workers));
    this.#allowance = workers;
    this.#store(CONTROL.active, active);
    this.#store(CONTROL.duty, Math.min(1000, Math.max(1, Math.round((1000 * workers) / active))));
  }

  /** Runs the ops in order, each to its end before the next begins. @throws KernelError when a kernel traps; the pool stays usable. */
  async run(ops: readonly ProgramOp[], scratchOf: (worker: number) => number): Promise<void> {
    const answers = await this.#ask(() => this.#workers.forEach((worker, i) => worker.post({ type: "run", ops, scratch: scratchOf(i) })));
    const failed = answers.find((answer) => answer.type === "done" && answer.error !== undefined);
    if (failed?.type !== "done") return;
    this.#store(CONTROL.failed, 0);
    throw new KernelError("threads", "a kernel trapped", { got: failed.error });
  }

  async #ask(post: () => void): Promise<FromWorker[]> {
    if (this.#dead) throw this.#dead;
    const answers = this.#workers.map((_, i) => new Promise<FromWorker>((answer, fail) => { this.#waiting[i] = { answer, fail }; }));
    for (const worker of this.#workers) worker.keepAlive(true);
    post();
    try {
      return await Promise.all(answers);
    } finally {
      for (const worker of this.#workers) worker.keepAlive(false);
    }
  }

  #die(cause: Error): void {
    this.#dead ??= new DeviceError("threads", "a worker died", { got: cause.message, hint: "make a new device", cause });
    for (const { fail } of this.#waiting) fail(this.#dead);
  }

  async stop(): Promise<void> {
    this.#dead ??= new DeviceError("threads", "the device is disposed");
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}
