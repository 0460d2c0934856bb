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

/** The loss over `rows`, `batchSize` at a time, each target token counted once. */
export async function evaluateRows(pass: BatchPass, rows: readonly TokenRow[], batchSize: number, onProgress?: (done: number, total: number) => void, signal?: AbortSignal): Promise<Evaluation> {
  let sum = 0;
  for (let at = 0; at < rows.length; at += batchSize) {
    signal?.throwIfAborted();
    const batch = collate(rows.slice(at, at + batchSize));
    await pass.evaluate(batch);
    const [losses] = await pass.losses([batch]);
    for (const value of losses) sum += value;
    onProgress?.(Math.min(at + batchSize, rows.length), rows.length);
  }
  const tokens = countTargets(rows);
  const loss = sum / tokens;
  refuseZeroLoss("evaluate", loss, tokens);
  return { loss, perplexity: Math.exp(loss), tokens };
}
