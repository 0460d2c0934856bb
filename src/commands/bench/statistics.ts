/** What a number of measurements of one thing comes to. */
export interface Spread {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
  /** How many there were. */
  readonly rounds: number;
}

/** @param part 0 … 1. Linear between neighbours, as NumPy does it. */
export function percentile(sorted: readonly number[], part: number): number {
  const at = part * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  return below + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - below);
}

export function spreadOf(times: readonly number[]): Spread {
  const sorted = [...times].sort((a, b) => a - b);
  return { median: percentile(sorted, 0.5), p10: percentile(sorted, 0.1), p90: percentile(sorted, 0.9), rounds: sorted.length };
}

export type Verdict = "faster" | "slower" | "within noise";

export interface Ratio {
  /** Above 1: `after` takes less time. */
  readonly speedup: number;
  /** The same with each side at its worst, and at its best. */
  readonly low: number;
  readonly high: number;
  readonly verdict: Verdict;
}

/** Two sets of times differ beyond noise when four fifths of the one lie apart from four fifths of the other. */
export function ratioOf(before: Omit<Spread, "rounds">, after: Omit<Spread, "rounds">): Ratio {
  const low = before.p10 / after.p90;
  const high = before.p90 / after.p10;
  return { speedup: before.median / after.median, low, high, verdict: low > 1 ? "faster" : high < 1 ? "slower" : "within noise" };
}
