import { DeviceError, KernelError, NibbleError } from "../errors.ts";
import type { WorkerHandle, WorkerHost } from "./worker-host.ts";
import { CONTROL, type FromWorker, type ProgramStep } from "./worker-main.ts";

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
      worker.onEnd((error) => this.#die(error));
    });
  }

  /**
   * @param control address of `CONTROL_WORDS` zeroed i32 words in `memory`.
   * @param store writes one of these words.
   */
  static async start(host: WorkerHost, size: number, module: WebAssembly.Module, memory: WebAssembly.Memory, control: number, store: (word: number, value: number) => void): Promise<WorkerPool> {
    const workers = await spawnAll(host, size);
    try {
      const pool = new WorkerPool(workers, store);
      pool.allowance = size;
      const answers = await pool.#ask(workers, (worker, index) => worker.post({ type: "start", module, memory, control, words: CONTROL, index }));
      const [first] = answers;
      pool.#nice = first.type === "ready" ? first.nice : undefined;
      return pool;
    } catch (cause) {
      await Promise.all(workers.map((worker) => worker.terminate()));
      throw notStarted(size, cause);
    }
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
    this.#allowance = workers;
    this.#store(CONTROL.active, this.#active);
    this.#store(CONTROL.duty, Math.min(1000, Math.max(1, Math.round((1000 * workers) / this.#active))));
  }

  get #active(): number {
    return Math.min(this.size, Math.ceil(this.#allowance));
  }

  /**
   * Runs the steps in order, each to its end before the next begins. Workers beyond the allowance are left asleep: who only
   * keeps step would cost every step two more changes of threads, and where others want the CPU a long wait. @throws KernelError when a kernel traps; the pool stays usable.
   */
  async run(steps: readonly ProgramStep[], scratchOf: (worker: number) => number): Promise<void> {
    const team = this.#workers.slice(0, this.#active);
    const answers = await this.#ask(team, (worker, i) => worker.post({ type: "run", steps, scratch: scratchOf(i), workers: team.length }));
    const failed = answers.find((answer) => answer.type === "done" && answer.error !== undefined);
    if (failed?.type !== "done") return;
    this.#store(CONTROL.failed, 0);
    throw new KernelError("threads", "a kernel trapped", { got: failed.error });
  }

  /** @throws DeviceError when a worker died or the pool was stopped. */
  check(): void {
    if (this.#dead) throw this.#dead;
  }

  async #ask(workers: readonly WorkerHandle[], post: (worker: WorkerHandle, index: number) => void): Promise<FromWorker[]> {
    this.check();
    const answers = workers.map((_, i) => new Promise<FromWorker>((answer, fail) => { this.#waiting[i] = { answer, fail }; }));
    for (const worker of workers) worker.keepAlive(true);
    workers.forEach(post);
    try {
      return await Promise.all(answers);
    } finally {
      for (const worker of workers) worker.keepAlive(false);
    }
  }

  /** The others would sleep for ever at the barrier where the dead one is missing, so they end too. */
  #die(cause: Error): void {
    if (this.#dead) return;
    this.#dead = new DeviceError("threads", "a worker died", { got: cause.message, hint: "what this device held is lost: dispose it, make a new one and load the model again", cause });
    for (const { fail } of this.#waiting) fail(this.#dead);
    for (const worker of this.#workers) void worker.terminate();
  }

  async stop(): Promise<void> {
    this.#dead ??= new DeviceError("threads", "the device is disposed");
    await Promise.all(this.#workers.map((worker) => worker.terminate()));
  }
}

/** All of them, or none. */
async function spawnAll(host: WorkerHost, size: number): Promise<WorkerHandle[]> {
  const spawned = await Promise.allSettled(Array.from({ length: size }, async () => host.spawn()));
  const workers = spawned.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
  const failed = spawned.find((one) => one.status === "rejected");
  if (!failed) return workers;
  await Promise.all(workers.map((worker) => worker.terminate()));
  throw failed.reason instanceof NibbleError ? failed.reason : notStarted(size, failed.reason);
}

function notStarted(size: number, cause: unknown): DeviceError {
  return new DeviceError("threads", "a worker did not start", { expected: `${size} workers`, got: cause instanceof Error ? cause.message : cause, hint: "use fewer threads", cause });
}
