import { spreadOf, type Spread } from "./statistics.ts";

/** One thing to time. */
export interface Timed {
  /** Does the work `times` times over and waits for the end of it. */
  run(times: number): Promise<void>;
  /** Puts the inputs back, before each round and outside its time. */
  reset?(): void;
}

export interface TimingOptions {
  /** Milliseconds since some moment; by default the clock on the wall. */
  readonly clock?: (() => number) | undefined;
  /** How long to measure each item. */
  readonly seconds?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

const WARM_PART = 0.4; // of the time to measure: the engine's optimizing tier needs some hundred calls
const ROUND_MS = 10; // long beside the clock's steps and the time it takes to wake workers
const LEAST_ROUNDS = 5;
const MOST_ROUNDS = 31;

/**
 * Milliseconds of one run of each item. Items take turns, round by round, so that a machine that slows down for a while
 * slows all of them: ratios within one call are what to trust.
 */
export async function interleave(items: readonly Timed[], { clock = () => performance.now(), seconds = 0.5, signal }: TimingOptions = {}): Promise<Spread[]> {
  const repeats: number[] = [];
  let longest = ROUND_MS;
  for (const item of items) {
    const once = await warmUp(item, clock, 1000 * WARM_PART * seconds, signal);
    repeats.push(Math.ceil(ROUND_MS / once));
    longest = Math.max(longest, once);
  }
  const rounds = Math.min(MOST_ROUNDS, Math.max(LEAST_ROUNDS, Math.ceil((1000 * seconds) / longest)));
  const times = items.map((): number[] => []);
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < items.length; i++) times[i].push((await timeOf(items[i], repeats[i], clock, signal)) / repeats[i]);
  }
  return times.map(spreadOf);
}

async function timeOf(item: Timed, times: number, clock: () => number, signal: AbortSignal | undefined): Promise<number> {
  signal?.throwIfAborted();
  item.reset?.();
  const began = clock();
  await item.run(times);
  return clock() - began;
}

/** @returns milliseconds of one run. */
async function warmUp(item: Timed, clock: () => number, atLeastMs: number, signal: AbortSignal | undefined): Promise<number> {
  const until = performance.now() + atLeastMs;
  for (let times = 1; ; ) {
    const took = await timeOf(item, times, clock, signal);
    if (performance.now() >= until) return Math.max(took, 1e-3) / times;
    if (took < ROUND_MS) times *= 2;
  }
}
