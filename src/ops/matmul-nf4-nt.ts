import code from "../../gpu/matmul-nf4-nt.wgsl";
import { defineOp } from "../op.ts";
import { GEMM_AGREEMENT, GEMM_SCRATCH, GEMM_VARIANTS, gemmCost, gemmTiles } from "./gemm-tiles.ts";
import { gemmPasses, STATIONARY, WEIGHTS_4BIT } from "./gpu-lib.ts";
import { checkWeights, WEIGHT_OPERANDS, WEIGHT_PARAMS, weightBytes } from "./weights-4bit.ts";

/**
 * y = x · Wᵀ of a 4-bit W[n, k], added to y when `accumulate`: the same sums in the same order as `matmul-nt` of the
 * dequantized W, so the same bits. W is decoded 8 rows × 256 columns at a time, never whole. What the operands mean:
 * src/ops/weights-4bit.ts. Source: Dettmers et al. 2023 (QLoRA) §3; bitsandbytes `gemm_4bit`, dequantize-then-multiply.
 */
export const matmulNf4Nt = defineOp({
  name: "matmul-nf4-nt",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ m, k }) => [m, k] },
    ...WEIGHT_OPERANDS,
    { name: "y", dtype: "f32", access: "inout", shape: ({ m, n }) => [m, n] },
  ],
  params: [
    { name: "m", type: "u32" },
    { name: "n", type: "u32" },
    { name: "k", type: "u32" },
    ...WEIGHT_PARAMS,
    { name: "accumulate", type: "u32" },
  ],
  check: (params, operands) => checkWeights("matmul-nf4-nt", params, operands),
  tiles: ({ m, n, k }) => gemmTiles(m, n, k),
  scratch: () => GEMM_SCRATCH,
  cost: (p) => gemmCost(p.m, p.n, p.k, p.accumulate, weightBytes(p)),
  agreement: GEMM_AGREEMENT,
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "m", agreements: GEMM_VARIANTS, passes: gemmPasses({ rows: ({ m }) => m, columns: ({ n }) => n, lengths: ({ n, k }) => [n, k], transposed: true, special: { cut: STATIONARY, when: ({ n, k }) => k > 0 && k % 16 === 0 && n % 8 === 0 } }, WEIGHTS_4BIT) },
});
