import { performance } from "node:perf_hooks";
import { setTimeout as pause } from "node:timers/promises";
import { timedOp } from "../../commands/bench/op-case.ts";
import { spreadOf, type Spread } from "../../commands/bench/statistics.ts";
import { trainCase } from "../../commands/bench/train-case.ts";
import { cpuMeter } from "../../io/cpu-time.ts";
import type { SourceFolder } from "../../io/types.ts";
import type { Op } from "../../op.ts";
import { multiplyAddPeak } from "../../ops/index.ts";
import type { WasmDevice } from "../../wasm/device.ts";
import { BusyLoops } from "./busy-loops.ts";

export type Mode = "fair" | "polite" | "spinning";

/** What one way of computing did under one load. */
export interface Reading {
  readonly mode: Mode;
  readonly threads: number;
  /** Busy loops beside it. */
  readonly loops: number;
  /** Of one step. */
  readonly tokens: number;
  /** Seconds of one step. */
  readonly wall: Spread;
  /** CPU seconds of one step, of the whole process. */
  readonly cpu: number;
  /** The same of multiply-adds in registers, about as many as a step has: what the machine costs who touches no memory and waits for nobody. */
  readonly controlCpu: number;
  /** Speed of the busy loops beside us, as a part of their speed alone; undefined without any. */
  readonly neighbour: number | undefined;
}

export interface Plan {
  readonly modes: readonly Mode[];
  readonly loads: readonly number[];
  readonly rounds: number;
  readonly model: SourceFolder;
  readonly open: (mode: Mode) => Promise<WasmDevice>;
  readonly onProgress: (done: number, total: number, what: string) => void;
  readonly signal: AbortSignal;
}

const BATCH = 1, LENGTH = 128;
const ROUND_SECONDS = 0.7; // and at least one step: a polite one may take seconds
const CONTROL = { n: 2048, rounds: 20_000 };
const CONTROL_SECONDS = 0.3;
const WARM_STEPS = 10;
const ALONE_MS = 1000;
const ENOUGH_MS = 5000; // under one load: what still goes on then tells no more
const SETTLE_MS = 3000; // a polite device needs some intervals to see its neighbours

/** Training of the demo, again and again, beside more and more busy loops. */
export async function measureNeighbours(plan: Plan): Promise<Reading[]> {
  const readings: Reading[] = [];
  const total = plan.modes.length * plan.loads.length;
  for (const mode of plan.modes) {
    await using device = await plan.open(mode);
    const work = await trainCase(plan.model, BATCH, LENGTH).prepare(device);
    await work.run(WARM_STEPS);
    const control = await timedOp(device, multiplyAddPeak as unknown as Op, CONTROL);
    await control.run(WARM_STEPS);
    for (const loops of plan.loads) {
      plan.onProgress(readings.length, total, `${mode}, ${loops} busy ${loops === 1 ? "loop" : "loops"}`);
      const samples = await underLoad(loops, { work: () => work.run(1), control: () => control.run(1) }, mode === "polite", plan);
      readings.push(readingOf(mode, device.threads, loops, samples));
    }
  }
  return readings;
}

interface Sample { readonly wall: number; readonly cpu: number; readonly controlCpu: number; readonly neighbour: number | undefined }
type Work = Record<"work" | "control", () => Promise<void>>;

async function underLoad(count: number, { work, control }: Work, settle: boolean, { rounds, signal }: Plan): Promise<Sample[]> {
  const loops = await BusyLoops.start(count);
  try {
    await pause(ALONE_MS);
    const alone = await loops.speed();
    const until = performance.now() + (settle ? SETTLE_MS : 0);
    while (performance.now() < until) await work();
    const samples: Sample[] = [];
    const enough = performance.now() + ENOUGH_MS;
    for (let i = 0; i < rounds && (i === 0 || performance.now() < enough); i++) {
      signal.throwIfAborted();
      await loops.begin();
      const { wall, cpu } = await timed(work, ROUND_SECONDS);
      const neighbour = count ? (await loops.speed()) / alone : undefined;
      samples.push({ wall, cpu, neighbour, controlCpu: (await timed(control, CONTROL_SECONDS)).cpu });
    }
    return samples;
  } finally {
    await loops.stop();
  }
}

/** Seconds of one run, over as many as take `seconds`. */
async function timed(run: () => Promise<void>, seconds: number): Promise<{ wall: number; cpu: number }> {
  const [began, cpu] = [performance.now(), cpuMeter()];
  let runs = 0;
  do { await run(); runs++; } while (performance.now() - began < 1000 * seconds);
  return { wall: (performance.now() - began) / 1000 / runs, cpu: cpu() / runs };
}

function readingOf(mode: Mode, threads: number, loops: number, samples: readonly Sample[]): Reading {
  const median = (values: readonly number[]): number => spreadOf(values).median;
  return {
    mode, threads, loops, tokens: BATCH * LENGTH, wall: spreadOf(samples.map(({ wall }) => wall)), cpu: median(samples.map(({ cpu }) => cpu)), controlCpu: median(samples.map(({ controlCpu }) => controlCpu)),
    neighbour: loops === 0 ? undefined : median(samples.map(({ neighbour }) => neighbour!)),
  };
}
