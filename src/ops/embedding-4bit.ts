import code from "../../gpu/embedding-4bit.wgsl";
import { defineOp } from "../op.ts";
import { ARITHMETIC, elementwise, EXACT_4BIT, HALF } from "./gpu-lib.ts";
import { checkWeights, WEIGHT_OPERANDS, WEIGHT_PARAMS } from "./weights-4bit.ts";

/**
 * y[row] = W[ids[row] − first] of a 4-bit table W[n, k]: the bits that `dequantize-4bit` and then `embedding` give, though
 * only the rows asked for are decoded. Rows whose id lies outside [first, first + n) keep what they hold, so that a table
 * may come in pieces. What the operands mean: src/ops/weights-4bit.ts.
 */
export const embedding4bit = defineOp({
  name: "embedding-4bit",
  operands: [
    { name: "ids", dtype: "i32", access: "in", shape: ({ rows }) => [rows] },
    ...WEIGHT_OPERANDS,
    { name: "y", dtype: "f32", access: "inout", shape: ({ rows, k }) => [rows, k] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "n", type: "u32" },
    { name: "k", type: "u32" },
    { name: "first", type: "u32" },
    ...WEIGHT_PARAMS,
  ],
  check: (params, operands) => checkWeights("embedding-4bit", params, operands),
  tiles: ({ rows }) => Math.ceil(rows / 64),
  scratch: () => 128,
  cost: ({ rows, k }) => ({ bytes: 4.5 * rows * k, flops: rows * k }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: elementwise(({ rows, k }) => rows * k, ...ARITHMETIC, HALF, EXACT_4BIT) },
});
