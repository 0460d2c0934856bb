import type { WasmBuffer } from "./arena.ts";
import type { Kernel } from "./kernels.ts";
import type { PlacedOp } from "./program.ts";

export type OpTask = PlacedOp & { readonly run: Kernel; readonly operands: number };
/** What the calling thread does between ops: a copy in or out, a free, or telling who waits. */
interface HostTask {
  readonly host: () => void;
  /** The memory that it touches. */
  readonly buffer?: WasmBuffer | undefined;
  /** Where somebody waits for it. */
  readonly fail?: (error: unknown) => void;
}
type Task = OpTask | HostTask;

/** Ops and what the host does between them, in the order they were given. Nothing runs before somebody waits for it. */
export class TaskQueue {
  /** May be given no ops, and refuses then too where the device can go no further. */
  readonly #run: (ops: readonly OpTask[]) => Promise<void>;
  /** Whether ops between two host tasks run together, or each by itself. */
  readonly #together: () => boolean;
  readonly #tasks: Task[] = [];
  #running: readonly OpTask[] = [];
  #awaited = 0; // tasks that somebody waits for
  #draining: Promise<void> | undefined;

  constructor(run: (ops: readonly OpTask[]) => Promise<void>, together: () => boolean) {
    this.#run = run;
    this.#together = together;
  }

  get idle(): boolean {
    return this.#running.length === 0 && this.#tasks.length === 0;
  }

  /** Whether anything that is queued or runs now touches this memory. */
  touches({ address, bytes }: WasmBuffer): boolean {
    const within = (at: number): boolean => at >= address && at < address + bytes;
    const touching = (task: Task): boolean => {
      if ("host" in task) return task.buffer !== undefined && within(task.buffer.address);
      for (let i = 0; i < task.operands; i++) if (within(task.args[i])) return true;
      return false;
    };
    return this.#tasks.some(touching) || this.#running.some(touching);
  }

  addOp(op: OpTask): void {
    this.#tasks.push(op);
  }

  /** Done after all that is queued so far, without anybody waiting for it. */
  addHost(host: () => void, buffer: WasmBuffer): void {
    this.#tasks.push({ host, buffer });
  }

  /** Done after all that is queued so far, and before anything that is queued later. */
  whenReached<T>(host: () => T, buffer?: WasmBuffer): Promise<T> {
    return new Promise((resolve, fail) => {
      const settle = (): void => {
        try { resolve(host()); } catch (error) { fail(error); }
      };
      this.#tasks.push({ host: settle, fail, buffer });
      this.#awaited++;
      this.#draining ??= Promise.resolve().then(() => this.#drain());
    });
  }

  /** Runs all of it without returning to the event loop. */
  runSync(run: (op: OpTask) => void): void {
    try {
      for (let task = this.#tasks.shift(); task; task = this.#tasks.shift()) {
        if ("host" in task) this.#runHost(task);
        else run(task);
      }
    } catch (error) {
      this.drop(error);
      throw error;
    }
  }

  /** After an error: ops that build on the failed one are dropped and who waits is told, but memory is written and freed as was asked. */
  drop(error: unknown): void {
    for (const task of this.#tasks.splice(0)) {
      if (!("host" in task)) continue;
      if (task.fail) task.fail(error);
      else task.host();
    }
    this.#awaited = 0;
  }

  /** Until what runs now has ended. */
  async settled(): Promise<void> {
    await this.#draining;
  }

  /** Runs what somebody waits for, and what the host does right after it: frees. */
  async #drain(): Promise<void> {
    while (this.#awaited > 0 || (this.#tasks.length && "host" in this.#tasks[0])) {
      try {
        await this.#runNext();
      } catch (error) {
        this.drop(error);
      }
      this.#running = [];
    }
    this.#draining = undefined;
  }

  /** The ops up to the next host task, or one of them, and the host tasks that follow. */
  async #runNext(): Promise<void> {
    this.#running = this.#takeOps();
    await this.#run(this.#running);
    this.#running = [];
    for (let task = this.#tasks[0]; task && "host" in task; task = this.#tasks[0]) {
      this.#tasks.shift();
      this.#runHost(task);
    }
  }

  /** One by one, only the first task is looked at: there may be thousands. */
  #takeOps(): OpTask[] {
    const ops = this.#together() ? this.#tasks.findIndex((task) => "host" in task) : "host" in this.#tasks[0] ? 0 : 1;
    return this.#tasks.splice(0, ops) as OpTask[];
  }

  #runHost(task: HostTask): void {
    if (task.fail) this.#awaited--;
    task.host();
  }
}
