import { bytesOf } from "../dtype.ts";
import type { Op, Operands, Params } from "../op.ts";
import { elementsOf } from "../tensor.ts";
import { addressOf } from "./arena.ts";
import type { ProgramOp, ProgramStep } from "./worker-main.ts";

/** Bytes of memory that an op touches. */
export interface Range {
  readonly begin: number;
  readonly end: number;
  readonly writes: boolean;
}

export interface PlacedOp extends ProgramOp {
  readonly ranges: readonly Range[];
}

export function rangesOf(op: Op, operands: Operands, params: Params): Range[] {
  return op.operands.map(({ name, access, shape }) => {
    const begin = addressOf(operands[name]);
    return { begin, end: begin + elementsOf(shape(params)) * bytesOf(operands[name].dtype), writes: access !== "in" };
  });
}

const MOST_OPS = 8; // of a step: each is compared with all others

/**
 * Cuts a queue of ops into steps with a barrier after each. An op joins the step before it when neither touches what
 * the other writes, as the projections of one input do; two single tiles stay apart, since one worker does such a row
 * of steps without waking another.
 */
export function planSteps(ops: readonly PlacedOp[]): ProgramStep[] {
  const steps: ProgramStep[] = [];
  let step: PlacedOp[] = [];
  let tiles = 0;
  const close = (): void => {
    if (step.length) steps.push({ ops: step.map(({ kernel, args, tiles }) => ({ kernel, args, tiles })), tiles });
    step = [];
    tiles = 0;
  };
  for (const op of ops) {
    if (op.tiles === 0) continue;
    if (tiles + op.tiles <= 2 || step.length === MOST_OPS || step.some((other) => conflict(op, other))) close();
    step.push(op);
    tiles += op.tiles;
  }
  close();
  return steps;
}

function conflict(a: PlacedOp, b: PlacedOp): boolean {
  return a.ranges.some((r) => b.ranges.some((s) => (r.writes || s.writes) && r.begin < s.end && s.begin < r.end));
}
