import { collate, countTargets, type TokenRow } from "../data/collate.ts";
import type { BatchPass } from "../nn/batch-pass.ts";
import type { Device } from "../device.ts";
import type { AdamW } from "./adamw.ts";

export interface StepResult {
  /** Mean negative log-likelihood of the step's target tokens, in nats. */
  readonly loss: number;
  /** Global norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Input tokens, padding not counted. */
  readonly tokens: number;
}

/**
 * One optimizer step over `rows`, `batchSize` at a time. Every target token weighs 1 / (targets of the step),
 * so how the rows are split into micro-batches does not matter.
 * @param step 0-based.
 */
export async function trainingStep(device: Device, pass: BatchPass, optimizer: AdamW, rows: readonly TokenRow[], batchSize: number, step: number, learningRate: number, dropout: boolean): Promise<StepResult> {
  const scale = 1 / Math.max(1, countTargets(rows));
  const batches = [];
  optimizer.zeroGradients();
  for (let at = 0; at < rows.length; at += batchSize) {
    const batch = collate(rows.slice(at, at + batchSize));
    await pass.train(batch, batches.length, scale, dropout ? { step, sequence: at, rowsPerSequence: batch.length } : undefined);
    batches.push(batch);
  }
  optimizer.step(step + 1, learningRate);
  const losses = await pass.losses(batches);
  const [gradNorm] = (await device.read(optimizer.clip)) as Float32Array;
  let sum = 0;
  for (const part of losses) for (const value of part) sum += value;
  return { loss: sum * scale, gradNorm, tokens: rows.reduce((n, row) => n + row.inputIds.length, 0) };
}
