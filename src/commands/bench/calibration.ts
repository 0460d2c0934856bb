import type { Op } from "../../op.ts";
import { copy, fill, multiplyAddPeak } from "../../ops/index.ts";
import type { BenchCase } from "./bench-case.ts";
import { peakParams } from "./limits.ts";
import { timedOp } from "./op-case.ts";

/** 65536 elements are one tile, and two buffers of them fit a second-level cache; 64 MiB fit none. */
const IN_CACHE = 65_536;
const IN_MEMORY = 16 * 2 ** 20;

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
