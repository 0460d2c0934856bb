import { collate, countTargets, type TokenRow } from "../data/collate.ts";
import type { Batch, BatchPass } from "../nn/batch-pass.ts";
import type { Device } from "../device.ts";
import type { AdamW } from "./adamw.ts";

export interface StepResult {
  /** Mean negative log-likelihood of the step's target tokens, in nats. */
  readonly loss: number;
  /** Global norm of the gradients before clipping. */
  readonly gradNorm: number;
  /** Target tokens. */
  readonly targets: number;
  /** Input tokens, padding not counted. */
  readonly tokens: number;
}

type Step = [device: Device, pass: BatchPass, optimizer: AdamW, rows: readonly TokenRow[], batchSize: number, step: number, learningRate: number, dropout: boolean];

/**
 * One optimizer step over `rows`, `batchSize` at a time. Every target token weighs 1 / (targets of the step),
 * so how the rows are split into micro-batches does not matter.
 * @param step 0-based.
 */
export async function trainingStep(...given: Step): Promise<StepResult> {
  return (await queueStep(...given)).result;
}

/** As `trainingStep`, but returns when all is queued: the next step may be queued before the result is there. */
export async function queueStep(...[device, pass, optimizer, rows, batchSize, step, learningRate, dropout]: Step): Promise<{ readonly result: Promise<StepResult> }> {
  const targets = countTargets(rows);
  const scale = 1 / Math.max(1, targets);
  const batches: Batch[] = [];
  for (let at = 0; at < rows.length; at += batchSize) batches.push(collate(rows.slice(at, at + batchSize)));
  optimizer.zeroGradients();
  await pass.train(batches, scale, dropout ? (i) => ({ step, sequence: i * batchSize, rowsPerSequence: batches[i].length }) : undefined);
  await optimizer.step(step + 1, learningRate);
  const result = Promise.all([pass.losses(batches), device.read(optimizer.clip)]).then(([losses, [gradNorm]]): StepResult => {
    let sum = 0;
    for (const part of losses) for (const value of part) sum += value;
    return { loss: sum * scale, gradNorm, targets, tokens: rows.reduce((n, row) => n + row.inputIds.length, 0) };
  });
  result.catch(() => undefined); // whoever awaits it hears of it, even when another step failed first
  return { result };
}
