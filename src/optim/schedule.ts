/**
 * The learning rate of every optimizer step: `get_constant_schedule_with_warmup`,
 * `get_linear_schedule_with_warmup` and `get_cosine_schedule_with_warmup` of Transformers.
 */
import { ShapeError } from "../errors.ts";

export type ScheduleKind = "constant" | "linear" | "cosine";

export interface ScheduleOptions {
  readonly kind: ScheduleKind;
  readonly learningRate: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
}

/**
 * Steps of warm-up: `warmupSteps` if given, else the ratio of all steps, rounded up.
 * `constant` without either has none.
 */
export function warmupOf({ kind, totalSteps, warmupSteps, warmupRatio }: { kind: ScheduleKind; totalSteps: number; warmupSteps?: number; warmupRatio?: number }): number {
  if (warmupSteps !== undefined) return warmupSteps;
  return kind === "constant" && warmupRatio === undefined ? 0 : Math.ceil(totalSteps * (warmupRatio ?? 0.03));
}

/** The rate that optimizer step `step` (0-based) uses: with warm-up the first one uses 0. @throws ShapeError */
export function learningRateAt(step: number, { kind, learningRate, totalSteps, warmupSteps }: ScheduleOptions): number {
  if (step < warmupSteps) return learningRate * (step / Math.max(1, warmupSteps));
  const rest = Math.max(1, totalSteps - warmupSteps);
  switch (kind) {
    case "constant": return learningRate;
    case "linear": return learningRate * Math.max(0, (totalSteps - step) / rest);
    case "cosine": return learningRate * Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((step - warmupSteps) / rest))));
    default: throw new ShapeError("schedule", "unknown kind", { expected: "constant, linear or cosine", got: kind });
  }
}
