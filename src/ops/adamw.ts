import code from "../../gpu/adamw.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/**
 * One AdamW update of f32 parameters with f32 states; g = grad · clip[1]:
 *
 *   param  ·= 1 − learningRate·weightDecay
 *   expAvg += (g − expAvg)·oneMinusBeta1
 *   expAvgSq = expAvgSq·beta2 + g²·oneMinusBeta2
 *   param  −= learningRate/correction1 · expAvg / (√expAvgSq / √correction2 + eps)
 *
 * correction_i = 1 − beta_i^t at update t. oneMinusBeta_i comes from the host, in f64 up to the last rounding: from beta2
 * rounded to f32 it would be off by 1.3e-5. Factors of scalars are made in f64 and rounded once. No fused multiply-add, so
 * that both builds agree in every bit. Source: Loshchilov & Hutter 2019; torch.optim.AdamW (single tensor).
 */
export const adamw = defineOp({
  name: "adamw",
  operands: [
    { name: "clip", dtype: "f32", access: "in", shape: () => [2] },
    { name: "grad", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "param", dtype: "f32", access: "inout", shape: ({ n }) => [n] },
    { name: "expAvg", dtype: "f32", access: "inout", shape: ({ n }) => [n] },
    { name: "expAvgSq", dtype: "f32", access: "inout", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "learningRate", type: "f32" },
    { name: "oneMinusBeta1", type: "f32" },
    { name: "beta2", type: "f32" },
    { name: "oneMinusBeta2", type: "f32" },
    { name: "eps", type: "f32" },
    { name: "weightDecay", type: "f32" },
    { name: "correction1", type: "f32" },
    { name: "correction2", type: "f32" },
  ],
  tiles: ({ n }) => Math.ceil(n / 16384),
  cost: ({ n }) => ({ bytes: 28 * n, flops: 15 * n }),
  agreement: { relative: 2.4e-7, absolute: 0 }, // measured 8.0e-8 of the largest value; a factor of 3
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", passes: elementwise(({ n }) => n) },
});
