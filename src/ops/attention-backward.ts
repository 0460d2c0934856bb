import code from "../../gpu/attention-backward.wgsl";
import { ShapeError } from "../errors.ts";
import { defineOp } from "../op.ts";
import { checkHeads, seen } from "./attention.ts";
import { EXP, GRID } from "./gpu-lib.ts";

// A tile gives dq of 24 queries, or dk and dv of 32 keys; assembly/attention-backward.ts has the same numbers.
const QUERIES = 24;
const KEYS = 32;

/**
 * Gradients of `attention` over a whole sequence (queryLength = keyLength), with P = e^(scale · q·kᵀ − lse):
 *
 *   dv = Pᵀ·dy    dS = scale · P ∘ (dy·vᵀ − rowsum(dy ∘ y))    dq = dS·k    dk = dSᵀ·q
 *
 * dk and dv sum over the query heads of a key head: heads in order, queries in order within a head; dq over keys in
 * order. P and dS are recomputed in squares of 24 × 32, once for dq and once for dk and dv, so that tiles stay independent.
 * Source: Dao et al. 2022 (FlashAttention), appendix B.
 */
export const attentionBackward = defineOp({
  name: "attention-backward",
  operands: [
    { name: "q", dtype: "f32", access: "in", shape: ({ batch, queryLength, heads, headDim }) => [batch, queryLength, heads, headDim] },
    { name: "k", dtype: "f32", access: "in", shape: ({ batch, keyLength, kvHeads, headDim }) => [batch, keyLength, kvHeads, headDim] },
    { name: "v", dtype: "f32", access: "in", shape: ({ batch, keyLength, kvHeads, headDim }) => [batch, keyLength, kvHeads, headDim] },
    { name: "y", dtype: "f32", access: "in", shape: ({ batch, queryLength, heads, headDim }) => [batch, queryLength, heads, headDim] },
    { name: "dy", dtype: "f32", access: "in", shape: ({ batch, queryLength, heads, headDim }) => [batch, queryLength, heads, headDim] },
    { name: "lse", dtype: "f32", access: "in", shape: ({ batch, queryLength, heads }) => [batch, heads, queryLength] },
    { name: "dq", dtype: "f32", access: "out", shape: ({ batch, queryLength, heads, headDim }) => [batch, queryLength, heads, headDim] },
    { name: "dk", dtype: "f32", access: "out", shape: ({ batch, keyLength, kvHeads, headDim }) => [batch, keyLength, kvHeads, headDim] },
    { name: "dv", dtype: "f32", access: "out", shape: ({ batch, keyLength, kvHeads, headDim }) => [batch, keyLength, kvHeads, headDim] },
  ],
  params: [
    { name: "batch", type: "u32" },
    { name: "queryLength", type: "u32" },
    { name: "keyLength", type: "u32" },
    { name: "heads", type: "u32" },
    { name: "kvHeads", type: "u32" },
    { name: "headDim", type: "u32" },
    { name: "scale", type: "f32" },
  ],
  check: (params) => {
    checkHeads("attention-backward", params);
    if (params.keyLength !== params.queryLength) {
      throw new ShapeError("attention-backward", "keyLength", { expected: `queryLength, ${params.queryLength}`, got: params.keyLength });
    }
  },
  tiles: ({ batch, kvHeads, queryLength }) => batch * kvHeads * (Math.ceil(queryLength / QUERIES) + Math.ceil(queryLength / KEYS)),
  scratch: ({ headDim }) => 128 + 192 + 2 * 4 * QUERIES * KEYS + 2 * 4 * KEYS * headDim + 32 * KEYS,
  cost: (p) => ({
    bytes: 16 * p.batch * p.headDim * (p.queryLength * p.heads + p.keyLength * p.kvHeads),
    flops: 14 * p.headDim * seen(p),
  }),
  agreement: { relative: 2.5e-6, absolute: 1e-7 }, // measured 7.3e-7 of the largest value; a factor of 3
  devices: ["wasm", "webgpu"],
  gpu: {
    code,
    passes: [
      { entry: "deltas", lib: [GRID, EXP], operands: ["y", "dy"], scratch: true, workgroups: (p) => Math.ceil((p.batch * p.heads * p.queryLength) / 64) },
      { entry: "query_gradients", lib: [GRID, EXP], operands: ["q", "k", "v", "dy", "lse", "dq"], scratch: true, workgroups: (p) => p.batch * p.heads * Math.ceil(p.queryLength / 8) },
      { entry: "key_gradients", lib: [GRID, EXP], operands: ["q", "k", "v", "dy", "lse", "dk", "dv"], scratch: true, workgroups: (p) => p.batch * p.kvHeads * Math.ceil(p.keyLength / 8) },
    ],
    scratch: (p) => 4 * p.batch * p.heads * p.queryLength,
  },
});
