import code from "../../gpu/matmul-nn.wgsl";
import { defineOp } from "../op.ts";
import { GEMM_AGREEMENT, GEMM_SCRATCH, GEMM_VARIANTS, gemmCost, gemmTiles } from "./gemm-tiles.ts";
import { gemmPasses } from "./gpu-lib.ts";

/**
 * y = x · w, added to y when `accumulate`: y[i, j] (+)= Σ_k x[i, k] · w[k, j].
 *
 * Every element accumulates in f32 over k = 0, 1, 2, … one by one, from 0 or from y, so row i of a call with m rows has
 * the bits of a call with that row alone. k = 0 gives zeros, or leaves y.
 */
export const matmulNn = defineOp({
  name: "matmul-nn",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ m, k, xStride }) => [m ? (m - 1) * xStride + k : 0] },
    { name: "w", dtype: "f32", access: "in", shape: ({ n, k }) => [k, n] },
    { name: "y", dtype: "f32", access: "inout", shape: ({ m, n }) => [m, n] },
  ],
  params: [
    { name: "m", type: "u32" },
    { name: "n", type: "u32" },
    { name: "k", type: "u32" },
    { name: "xStride", type: "u32" },
    { name: "accumulate", type: "u32" },
  ],
  tiles: ({ m, n, k }) => gemmTiles(m, n, k),
  scratch: () => GEMM_SCRATCH,
  cost: ({ m, n, k, accumulate }) => gemmCost(m, n, k, accumulate, 4 * n * k),
  agreement: GEMM_AGREEMENT,
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "m", agreements: GEMM_VARIANTS, passes: gemmPasses({ rows: ({ m }) => m, columns: ({ n }) => n, lengths: ({ n, k, xStride }) => [n, k, xStride] }) },
});
