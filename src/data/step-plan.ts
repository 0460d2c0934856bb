/** Which rows each optimizer step sees. */
import { ShapeError } from "../errors.ts";
import { permutation } from "../random.ts";

export interface StepPlanOptions {
  /** Rows of the dataset. */
  readonly rows: number;
  /** Rows of a micro-batch. */
  readonly batchSize: number;
  /** Micro-batches of an optimizer step. */
  readonly accumulation: number;
  /** May be a fraction; the last step of the last epoch is rounded up. */
  readonly epochs: number;
  /** Wins over `epochs`. */
  readonly maxSteps?: number;
  readonly seed: number;
  /** A new order every epoch; otherwise the order of the file. */
  readonly shuffle: boolean;
}

export interface StepPlan {
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  /** Row indices of optimizer step `step` (0-based), micro-batch after micro-batch; fewer in an epoch's last step. */
  rowsOf(step: number): number[];
}

/** Every epoch sees every row once; the last, partial step of an epoch is kept. @throws ShapeError */
export function planSteps({ rows, batchSize, accumulation, epochs, maxSteps, seed, shuffle }: StepPlanOptions): StepPlan {
  for (const [name, value] of Object.entries({ rows, batchSize, accumulation, ...(maxSteps === undefined ? {} : { maxSteps }) })) {
    if (!Number.isInteger(value) || value < 1) throw new ShapeError("data", name, { expected: "a whole number of at least 1", got: value });
  }
  if (!(epochs > 0) || !Number.isFinite(epochs)) throw new ShapeError("data", "epochs", { expected: "a number above 0", got: epochs });
  const perStep = batchSize * accumulation;
  const stepsPerEpoch = Math.ceil(rows / perStep);
  let cached: { epoch: number; order: ArrayLike<number> } | undefined;
  const orderOf = (epoch: number): ArrayLike<number> => {
    if (cached?.epoch !== epoch) cached = { epoch, order: permutation(rows, seed, epoch) };
    return cached.order;
  };
  return {
    stepsPerEpoch,
    totalSteps: maxSteps ?? Math.ceil(epochs * stepsPerEpoch),
    rowsOf(step) {
      const begin = (step % stepsPerEpoch) * perStep;
      const length = Math.min(perStep, rows - begin);
      const order = shuffle ? orderOf(Math.floor(step / stepsPerEpoch)) : undefined;
      return Array.from({ length }, (_, i) => order?.[begin + i] ?? begin + i);
    },
  };
}
