import { instantiateSync } from "@assemblyscript/loader";
import { kernels as builds } from "#kernels";
import type { WasmBuild } from "../src/wasm/kernels.ts";

/** One thing to time. `reset` puts its inputs back and is not timed. */
export interface Case {
  readonly name: string;
  readonly run: () => void;
  readonly reset?: () => void;
}

export interface Timing {
  /** Seconds of one run. */
  readonly median: number;
  /** Half the distance between the quartiles, as a fraction of the median. */
  readonly spread: number;
}

const WARM_SECONDS = 0.15; // the engine's optimizing tier needs some hundred calls
const LEAST_WARM = 3;

/**
 * Times cases in turns, round by round, so that a machine that slows down for a while slows all of them:
 * ratios within one call are what to trust.
 */
export function interleave(cases: readonly Case[], rounds: number): Timing[] {
  const times = cases.map((): number[] => []);
  for (const item of cases) {
    const until = performance.now() + 1000 * WARM_SECONDS;
    for (let i = 0; i < LEAST_WARM || performance.now() < until; i++) once(item);
  }
  for (let round = 0; round < rounds; round++) cases.forEach((item, i) => times[i].push(once(item)));
  return times.map(summary);
}

/** Time of the processor, not of the clock on the wall: other processes may share this machine. One thread only. */
function once({ run, reset }: Case): number {
  reset?.();
  const begin = process.cpuUsage();
  run();
  const { user, system } = process.cpuUsage(begin);
  return (user + system) / 1e6;
}

function summary(times: number[]): Timing {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  const median = at(0.5);
  return { median, spread: (at(0.75) - at(0.25)) / 2 / median };
}

/** The most multiply-adds a second that this engine makes of one build: 96 operations a round, in registers alone. */
export function peakCase(build: WasmBuild): { item: Case; flops: number } {
  const memory = new WebAssembly.Memory({ initial: 16, maximum: 65536 });
  const kernels = instantiateSync(builds[build]!, { env: { memory } }).exports as unknown as { multiplyAddPeak(rounds: number): number };
  const rounds = 300_000;
  return { item: { name: `peak ${build}`, run: () => void kernels.multiplyAddPeak(rounds) }, flops: 96 * rounds };
}
