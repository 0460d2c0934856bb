import { suite } from "uvu";
import * as assert from "uvu/assert";
import { learningRateAt, warmupOf, type ScheduleKind } from "../src/optim/schedule.ts";

const schedule = suite("learning-rate schedule");

function rates(kind: ScheduleKind, learningRate: number, totalSteps: number, warmupSteps: number): number[] {
  return Array.from({ length: totalSteps + 1 }, (_, step) => learningRateAt(step, { kind, learningRate, totalSteps, warmupSteps }));
}

function close(actual: number[], expected: number[]): void {
  assert.is(actual.length, expected.length);
  actual.forEach((value, i) => assert.ok(Math.abs(value - expected[i]) <= 1e-18 + 1e-14 * Math.abs(expected[i]), `step ${i}: expected ${expected[i]}, got ${value}`));
}

// Numbers of Transformers' formulas, evaluated in Python.
schedule("linear with warm-up", () => {
  close(rates("linear", 2e-4, 10, 3), [0.0, 6.666666666666667e-05, 0.00013333333333333334, 0.0002, 0.00017142857142857143, 0.00014285714285714287, 0.00011428571428571428, 8.571428571428571e-05, 5.714285714285714e-05, 2.857142857142857e-05, 0.0]);
});

schedule("cosine with warm-up, and without", () => {
  close(rates("cosine", 2e-4, 10, 3), [0.0, 6.666666666666667e-05, 0.00013333333333333334, 0.0002, 0.0001900968867902419, 0.00016234898018587337, 0.00012225209339563145, 7.774790660436858e-05, 3.7651019814126654e-05, 9.903113209758096e-06, 0.0]);
  close(rates("cosine", 1e-3, 4, 0), [1e-3, 8.535533905932737e-4, 5e-4, 1.4644660940672628e-4, 0]);
});

schedule("constant with warm-up, and without", () => {
  close(rates("constant", 1, 4, 2), [0, 0.5, 1, 1, 1]);
  close(rates("constant", 1, 2, 0), [1, 1, 1]);
});

schedule("no schedule goes below zero past its end", () => {
  for (const kind of ["linear", "cosine"] as const) assert.is(learningRateAt(11, { kind, learningRate: 1, totalSteps: 10, warmupSteps: 0 }) >= 0, true);
  assert.is(learningRateAt(15, { kind: "linear", learningRate: 1, totalSteps: 10, warmupSteps: 0 }), 0);
});

schedule("warm-up: steps win over the ratio, which rounds up; a plain constant has none", () => {
  assert.is(warmupOf({ kind: "cosine", totalSteps: 101 }), 4);
  assert.is(warmupOf({ kind: "linear", totalSteps: 101, warmupRatio: 0.1 }), 11);
  assert.is(warmupOf({ kind: "linear", totalSteps: 101, warmupRatio: 0.1, warmupSteps: 0 }), 0);
  assert.is(warmupOf({ kind: "constant", totalSteps: 100 }), 0);
  assert.is(warmupOf({ kind: "constant", totalSteps: 100, warmupRatio: 0.5 }), 50);
});

schedule.run();
