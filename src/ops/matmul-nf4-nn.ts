import code from "../../gpu/matmul-nf4-nn.wgsl";
import { defineOp } from "../op.ts";
import { GEMM_AGREEMENT, GEMM_SCRATCH, GEMM_VARIANTS, gemmCost, gemmTiles } from "./gemm-tiles.ts";
import { gemmPasses, STATIONARY, WEIGHTS_4BIT } from "./gpu-lib.ts";
import { checkWeights, WEIGHT_OPERANDS, WEIGHT_PARAMS, weightBytes } from "./weights-4bit.ts";

/**
 * dx = dy · W of a 4-bit W[n, k], added to dx when `accumulate`: the gradient of `matmul-nf4-nt` with respect to x, and
 * the bits of `matmul-nn` of the dequantized W. Sums run over n in order. W is decoded 256 rows × 64 columns at a time,
 * never whole. Rows of dy are `dyStride` apart. What the operands mean: src/ops/weights-4bit.ts.
 */
export const matmulNf4Nn = defineOp({
  name: "matmul-nf4-nn",
  operands: [
    { name: "dy", dtype: "f32", access: "in", shape: ({ m, n, dyStride }) => [m ? (m - 1) * dyStride + n : 0] },
    ...WEIGHT_OPERANDS,
    { name: "dx", dtype: "f32", access: "inout", shape: ({ m, k }) => [m, k] },
  ],
  params: [
    { name: "m", type: "u32" },
    { name: "n", type: "u32" },
    { name: "k", type: "u32" },
    { name: "dyStride", type: "u32" },
    ...WEIGHT_PARAMS,
    { name: "accumulate", type: "u32" },
  ],
  check: (params, operands) => checkWeights("matmul-nf4-nn", params, operands),
  tiles: ({ m, n, k }) => gemmTiles(m, k, n),
  scratch: () => GEMM_SCRATCH,
  cost: (p) => gemmCost(p.m, p.k, p.n, p.accumulate, weightBytes(p)),
  agreement: GEMM_AGREEMENT,
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "m", agreements: GEMM_VARIANTS, passes: gemmPasses({ rows: ({ m }) => m, columns: ({ k }) => k, lengths: ({ n, k, dyStride }) => [n, k, dyStride], special: { cut: STATIONARY, when: ({ n, k, dyStride }) => n > 0 && n % 16 === 0 && k % 8 === 0 && dyStride % 4 === 0 } }, WEIGHTS_4BIT) },
});
