import { collate, countTargets, type TokenRow } from "../data/collate.ts";
import type { BatchPass } from "../nn/batch-pass.ts";
import { refuseZeroLoss } from "../optim/computed.ts";

export interface Evaluation {
  /** Mean negative log-likelihood of the target tokens, in nats. */
  readonly loss: number;
  /** exp(loss) */
  readonly perplexity: number;
  /** Target tokens. */
  readonly tokens: number;
}

/** Where a measurement stands, for going on after a device that failed. */
export interface EvaluatedSoFar { rows: number; sum: number }

/** The loss over `rows`, `batchSize` at a time, each target token counted once. */
export async function evaluateRows(pass: BatchPass, rows: readonly TokenRow[], batchSize: number, onProgress?: (done: number, total: number) => void, signal?: AbortSignal, soFar: EvaluatedSoFar = { rows: 0, sum: 0 }): Promise<Evaluation> {
  while (soFar.rows < rows.length) {
    signal?.throwIfAborted();
    const batch = collate(rows.slice(soFar.rows, soFar.rows + batchSize));
    await pass.evaluate(batch);
    const [losses] = await pass.losses([batch]);
    for (const value of losses) soFar.sum += value;
    soFar.rows = Math.min(soFar.rows + batchSize, rows.length);
    onProgress?.(soFar.rows, rows.length);
  }
  const tokens = countTargets(rows);
  const loss = soFar.sum / tokens;
  refuseZeroLoss("evaluate", loss, tokens);
  return { loss, perplexity: Math.exp(loss), tokens };
}
