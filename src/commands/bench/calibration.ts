import type { Op } from "../../op.ts";
import { copy, fill, multiplyAddPeak } from "../../ops/index.ts";
import type { BenchCase } from "./bench-case.ts";
import { IN_MEMORY, peakParams } from "./limits.ts";
import { timedOp } from "./op-case.ts";

/** One tile, and two buffers of it fit a second-level cache. */
const IN_CACHE = 65_536;

export const PEAK: BenchCase = {
  op: "multiply-add",
  shape: "registers",
  prepare: (device) => timedOp(device, multiplyAddPeak as unknown as Op, peakParams(device.kind)),
};

/** Copy and fill, each thread with its own part of a cache, and far beyond all caches. */
export function bandwidthCases(threads: number): BenchCase[] {
  const sizes = [{ shape: "in cache", n: IN_CACHE * threads }, { shape: "in memory", n: IN_MEMORY }];
  return sizes.flatMap(({ shape, n }): BenchCase[] => [
    { op: "copy", shape, elements: n, prepare: (device) => timedOp(device, copy as unknown as Op, { n }) },
    { op: "fill", shape, elements: n, prepare: (device) => timedOp(device, fill as unknown as Op, { n, value: 1 }) },
  ]);
}
