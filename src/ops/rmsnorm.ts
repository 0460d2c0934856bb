import code from "../../gpu/rmsnorm.wgsl";
import { defineOp } from "../op.ts";
import { rowwise } from "./gpu-lib.ts";

/**
 * y = x · rstd · weight, rstd = 1 / √(mean(x²) + eps), row by row.
 *
 * The mean is accumulated in four f32 lanes (element i in lane i mod 4), lanes summed (0+2)+(1+3),
 * then the tail one by one. rstd is kept for the backward pass. rows = 0 does nothing.
 * Source: Zhang & Sennrich 2019; Transformers' LlamaRMSNorm (x·rstd first, then the weight).
 */
export const rmsnorm = defineOp({
  name: "rmsnorm",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ rows, n }) => [rows, n] },
    { name: "weight", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "out", shape: ({ rows, n }) => [rows, n] },
    { name: "rstd", dtype: "f32", access: "out", shape: ({ rows }) => [rows] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "n", type: "u32" },
    { name: "eps", type: "f32" },
  ],
  tiles: ({ rows }) => Math.ceil(rows / 32),
  cost: ({ rows, n }) => ({ bytes: 8 * rows * n + 4 * n, flops: 4 * rows * n }),
  agreement: { relative: 2e-6, absolute: 1e-7 },
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: rowwise(({ rows }) => rows) },
});
