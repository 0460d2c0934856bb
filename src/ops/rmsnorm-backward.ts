import code from "../../gpu/rmsnorm-backward.wgsl";
import { defineOp } from "../op.ts";
import { rowwise } from "./gpu-lib.ts";

/**
 * Gradient of `rmsnorm` with respect to x, added to dx when `accumulate`; the weight is frozen.
 *
 *   dx = rstd · dy∘weight − x · rstd³ · mean(dy∘weight∘x)
 *
 * The mean is accumulated in four f32 lanes (element i in lane i mod 4), lanes summed (0+2)+(1+3). rows = 0 does nothing.
 * Source: derivative of Zhang & Sennrich 2019, eq. 4.
 */
export const rmsnormBackward = defineOp({
  name: "rmsnorm-backward",
  operands: [
    { name: "dy", dtype: "f32", access: "in", shape: ({ rows, n }) => [rows, n] },
    { name: "x", dtype: "f32", access: "in", shape: ({ rows, n }) => [rows, n] },
    { name: "weight", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "rstd", dtype: "f32", access: "in", shape: ({ rows }) => [rows] },
    { name: "dx", dtype: "f32", access: "inout", shape: ({ rows, n }) => [rows, n] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "n", type: "u32" },
    { name: "accumulate", type: "u32" },
  ],
  tiles: ({ rows }) => Math.ceil(rows / 32),
  cost: ({ rows, n, accumulate }) => ({ bytes: (12 + (accumulate ? 4 : 0)) * rows * n, flops: 8 * rows * n }),
  agreement: { relative: 1e-6, absolute: 1e-7 },
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: rowwise(({ rows }) => rows) },
});
