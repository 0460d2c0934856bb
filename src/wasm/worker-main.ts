/** One op of a program: what a worker needs to run its tiles. */
export interface ProgramOp {
  readonly kernel: string;
  readonly args: readonly number[];
  readonly tiles: number;
}

/** What the pool sends to its workers. */
export type ToWorker =
  | { readonly type: "start"; readonly module: WebAssembly.Module; readonly memory: WebAssembly.Memory; readonly control: number; readonly workers: number }
  | { readonly type: "run"; readonly ops: readonly ProgramOp[]; readonly scratch: number };

/** What a worker answers. */
export type FromWorker = { readonly type: "ready" } | { readonly type: "done"; readonly error?: string };

/** Layout of the control block, in i32 words: one cache line each, so that workers do not slow each other down. */
export const CONTROL_WORDS = 64;

/**
 * The whole program of a worker, made into a script by `toString()`: it must not name anything outside itself.
 * All workers walk through the same list of ops. Tiles are taken from a counter; at the end of an op a worker
 * sleeps in `Atomics.wait` until the last one arrives, who resets the counter and wakes the others.
 */
export function workerMain(receive: (handler: (message: ToWorker) => void) => void, send: (message: FromWorker) => void): void {
  const TILE = 0; // next tile of the current op
  const ARRIVED = 16; // workers that have finished the current op
  const PHASE = 32; // counts ops; what sleepers wait on
  const FAILED = 48; // 1 once a kernel trapped: nobody starts another tile
  let kernels: Record<string, (...args: number[]) => void> = {};
  let control = new Int32Array(0);
  let workers = 1;

  const barrier = (): void => {
    const phase = Atomics.load(control, PHASE);
    if (Atomics.add(control, ARRIVED, 1) === workers - 1) {
      Atomics.store(control, ARRIVED, 0);
      Atomics.store(control, TILE, 0);
      Atomics.add(control, PHASE, 1);
      Atomics.notify(control, PHASE);
    } else {
      while (Atomics.load(control, PHASE) === phase) Atomics.wait(control, PHASE, phase);
    }
  };

  const run = (ops: readonly ProgramOp[], scratch: number): void => {
    let error: string | undefined;
    for (const op of ops) {
      try {
        const kernel = kernels[op.kernel];
        while (Atomics.load(control, FAILED) === 0) {
          const tile = Atomics.add(control, TILE, 1);
          if (tile >= op.tiles) break;
          kernel(...op.args, tile, tile + 1, scratch);
        }
      } catch (cause) {
        error = `${op.kernel}: ${cause instanceof Error ? cause.message : String(cause)}`;
        Atomics.store(control, FAILED, 1);
      }
      barrier();
    }
    send(error === undefined ? { type: "done" } : { type: "done", error });
  };

  receive((message) => {
    if (message.type === "run") return run(message.ops, message.scratch);
    const instance = new WebAssembly.Instance(message.module, { env: { memory: message.memory } });
    kernels = instance.exports as unknown as typeof kernels;
    control = new Int32Array(message.memory.buffer, message.control, 64);
    workers = message.workers;
    send({ type: "ready" });
  });
}
