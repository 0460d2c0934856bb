import type { Op } from "../../op.ts";
import { copy, fill, multiplyAddPeak } from "../../ops/index.ts";
import type { Device } from "../../device.ts";

/** What bounds a case: multiply-adds in registers, moving as many bytes by a plain copy, or writing as many values. */
export type LimitName = "multiply-add" | "copy" | "fill";

export interface Work {
  readonly flops: number;
  readonly bytes: number;
  readonly elements: number;
}

/** A computation that shows a limit; the work bounded by it takes at least as long as `runs` runs. */
export interface Limit {
  readonly op: Op;
  readonly params: Record<string, number>;
  readonly runs: number;
}

/** Elements of two buffers that fit no cache: more would only take longer. */
export const IN_MEMORY = 16 * 2 ** 20;

/** A tile takes a CPU some tens of microseconds; a GPU needs many invocations to be busy. */
export function peakParams(kind: Device["kind"]): { n: number; rounds: number } {
  return kind === "webgpu" ? { n: 2 ** 18, rounds: 64 } : { n: 32, rounds: 20_000 };
}

export function limitOf(name: LimitName, kind: Device["kind"], { flops, bytes, elements }: Work): Limit {
  if (name === "copy") {
    const n = Math.min(Math.ceil(bytes / 8), IN_MEMORY);
    return { op: copy as unknown as Op, params: { n }, runs: bytes / (8 * n) };
  }
  if (name === "fill") return { op: fill as unknown as Op, params: { n: elements, value: 1 }, runs: 1 };
  const params = peakParams(kind);
  return { op: multiplyAddPeak as unknown as Op, params, runs: flops / multiplyAddPeak.cost(params).flops };
}

/** @param median of the case, and of the limit's op, in one unit. */
export function percentOfLimit(median: number, limitMedian: number, { runs }: Pick<Limit, "runs">): number {
  return (100 * runs * limitMedian) / median;
}
