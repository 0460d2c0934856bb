/** One op of a program: what a worker needs to run its tiles. */
export interface ProgramOp {
  readonly kernel: string;
  readonly args: readonly number[];
  readonly tiles: number;
}

/** Ops that touch nothing of one another's results: their tiles are shared out together. */
export interface ProgramStep {
  readonly ops: readonly ProgramOp[];
  readonly tiles: number;
}

/** What the pool sends to its workers. */
export type ToWorker =
  | { readonly type: "start"; readonly module: WebAssembly.Module; readonly memory: WebAssembly.Memory; readonly control: number; readonly words: typeof CONTROL; readonly index: number }
  | { readonly type: "run"; readonly steps: readonly ProgramStep[]; readonly scratch: number; /** How many walk through it, this one included. */ readonly workers: number };

/** What a worker answers. */
export type FromWorker = { readonly type: "ready"; /** How the operating system ranks the worker, where the host knows. */ readonly nice?: number } | { readonly type: "done"; readonly error?: string };

/** Layout of the control block, in i32 words: one cache line each, so that workers do not slow each other down. */
export const CONTROL = {
  /** Next tile of the current step. */
  tile: 0,
  /** Workers that have finished the current step. */
  arrived: 16,
  /** Counts steps; what sleepers wait on. */
  phase: 32,
  /** 1 once a kernel trapped: nobody starts another tile. */
  failed: 48,
  /** Workers that may take tiles; the others only keep step. */
  active: 64,
  /** Thousandths of its time that such a worker may compute. */
  duty: 80,
  /** Nobody wakes who sleeps on it: a worker that steps back does, for as long as it owes. */
  never: 96,
} as const;
export const CONTROL_WORDS = 112;

/**
 * The whole program of a worker, made into a script by `toString()`: it must not name anything outside itself.
 * All workers of a program walk through the same list of steps. Tiles are taken from a counter; at the end of a step a worker
 * sleeps in `Atomics.wait` until the last one arrives. That one also does the steps of a single tile that come next,
 * since waking others takes longer than most of them; then it resets the counter and wakes the others.
 */
export function workerMain(receive: (handler: (message: ToWorker) => void) => void, send: (message: FromWorker) => void): void {
  const PAUSE_MS = 50; // what a worker owes before it sleeps: caches are cold after each sleep
  let kernels: Record<string, (...args: number[]) => void> = {};
  let control = new Int32Array(0);
  let words = {} as typeof CONTROL;
  let workers = 1;
  let index = 0;
  let owed = 0; // milliseconds to leave to others
  let scratch = 0;
  let error: string | undefined;

  const mayWork = (): boolean => Atomics.load(control, words.failed) === 0 && index < Atomics.load(control, words.active);

  const stepBack = (computed: number, duty: number): void => {
    owed += computed * (1000 / duty - 1);
    if (owed < PAUSE_MS) return;
    Atomics.wait(control, words.never, 0, owed);
    owed = 0;
  };

  const runTile = ({ ops }: ProgramStep, tile: number): void => {
    let i = 0;
    while (tile >= ops[i].tiles) tile -= ops[i++].tiles;
    const { kernel, args } = ops[i];
    const duty = Atomics.load(control, words.duty);
    const began = duty < 1000 ? performance.now() : 0;
    try {
      kernels[kernel](...args, tile, tile + 1, scratch);
    } catch (cause) {
      error = `${kernel}: ${cause instanceof Error ? cause.message : String(cause)}`;
      Atomics.store(control, words.failed, 1);
    }
    if (duty < 1000) stepBack(performance.now() - began, duty);
  };

  /** All of a step, with the others. Returns how many steps further everyone is. */
  const runStep = (steps: readonly ProgramStep[], at: number): number => {
    while (mayWork()) {
      const tile = Atomics.add(control, words.tile, 1);
      if (tile >= steps[at].tiles) break;
      runTile(steps[at], tile);
    }
    const phase = Atomics.load(control, words.phase);
    if (Atomics.add(control, words.arrived, 1) < workers - 1) {
      while (Atomics.load(control, words.phase) === phase) Atomics.wait(control, words.phase, phase);
      return (Atomics.load(control, words.phase) - phase) | 0;
    }
    let next = at + 1;
    for (; next < steps.length && steps[next].tiles === 1 && mayWork(); next++) runTile(steps[next], 0);
    Atomics.store(control, words.arrived, 0);
    Atomics.store(control, words.tile, 0);
    Atomics.add(control, words.phase, next - at);
    Atomics.notify(control, words.phase);
    return next - at;
  };

  receive((message) => {
    if (message.type === "run") {
      error = undefined;
      ({ scratch, workers } = message);
      for (let at = 0; at < message.steps.length;) at += runStep(message.steps, at);
      return send(error === undefined ? { type: "done" } : { type: "done", error });
    }
    const instance = new WebAssembly.Instance(message.module, { env: { memory: message.memory } });
    kernels = instance.exports as unknown as typeof kernels;
    ({ words, index } = message);
    control = new Int32Array(message.memory.buffer, message.control, words.never + 1);
    send({ type: "ready" });
  });
}
