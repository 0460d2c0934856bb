import type { Batch } from "../nn/batch-pass.ts";
import { IGNORED } from "./labels.ts";

/** One sequence; labels stand at their own token's place (not shifted), IGNORED where not scored. */
export interface TokenRow {
  readonly inputIds: Int32Array;
  readonly labels: Int32Array;
}

/** Pads on the right to the longest row; row t's target is the label of t + 1. */
export function collate(rows: readonly TokenRow[]): Batch {
  const length = Math.max(...rows.map((row) => row.inputIds.length));
  const ids = new Int32Array(rows.length * length);
  const targets = new Int32Array(rows.length * length).fill(IGNORED);
  rows.forEach(({ inputIds, labels }, i) => {
    ids.set(inputIds, i * length);
    targets.set(labels.subarray(1), i * length);
  });
  return { batch: rows.length, length, ids, targets };
}

/** Rows that are scored: each but the first whose label is not IGNORED. */
export function countTargets(rows: readonly TokenRow[]): number {
  let count = 0;
  for (const { labels } of rows) for (let t = 1; t < labels.length; t++) if (labels[t] !== IGNORED) count++;
  return count;
}
