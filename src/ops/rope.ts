import code from "../../gpu/rope.wgsl";
import { ShapeError } from "../errors.ts";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/**
 * Rotary position embedding of queries and keys, in place, half-split as in Transformers. For every head x of both, with c, s the rows of the tables at the position
 * of the row, h = headDim / 2 and i < h:
 *
 *   x[i], x[i + h] = x[i]·c[i] − x[i + h]·s[i]·sign, x[i + h]·c[i] + x[i]·s[i]·sign
 *
 * sign +1 rotates forward, −1 backward (the gradient). Positions lie below maxPositions: whoever writes them sees to it.
 * Source: Su et al. 2021; Transformers' apply_rotary_pos_emb.
 */
export const rope = defineOp({
  name: "rope",
  operands: [
    { name: "positions", dtype: "i32", access: "in", shape: ({ rows }) => [rows] },
    { name: "cos", dtype: "f32", access: "in", shape: ({ maxPositions, headDim }) => [maxPositions, headDim / 2] },
    { name: "sin", dtype: "f32", access: "in", shape: ({ maxPositions, headDim }) => [maxPositions, headDim / 2] },
    { name: "q", dtype: "f32", access: "inout", shape: ({ rows, heads, headDim }) => [rows, heads, headDim] },
    { name: "k", dtype: "f32", access: "inout", shape: ({ rows, kvHeads, headDim }) => [rows, kvHeads, headDim] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "heads", type: "u32" },
    { name: "kvHeads", type: "u32" },
    { name: "headDim", type: "u32" },
    { name: "maxPositions", type: "u32" },
    { name: "sign", type: "f32" },
  ],
  check: ({ headDim }) => {
    if (headDim % 2) throw new ShapeError("rope", "headDim", { expected: "an even number", got: headDim });
  },
  tiles: ({ rows }) => Math.ceil(rows / 32),
  cost: ({ rows, heads, kvHeads, headDim }) => ({ bytes: 4 * rows * headDim * (2 * (heads + kvHeads) + 1), flops: 3 * rows * (heads + kvHeads) * headDim }),
  agreement: { relative: 2.5e-7, absolute: 1e-8 }, // measured 6.9e-8 of the largest value; a factor of 3
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: elementwise(({ rows, heads, kvHeads, headDim }) => (rows * (heads + kvHeads) * headDim) / 2) },
});
