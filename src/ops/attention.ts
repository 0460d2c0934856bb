import code from "../../gpu/attention.wgsl";
import { ShapeError } from "../errors.ts";
import { defineOp, type Params } from "../op.ts";
import { EXP, GRID } from "./gpu-lib.ts";

const QUERIES = 24; // of one tile, × the query heads of one key head; assembly/attention.ts has the same numbers
const BLOCK_KEYS = 512;

/**
 * Causal attention with grouped heads: y = softmax(scale · q·kᵀ) · v, query head h over key head ⌊h / (heads / kvHeads)⌋.
 *
 * Query i sees keys 0 … i + keyLength − queryLength, so the last query sees all. Per query: scores accumulate over headDim
 * in order; the largest is subtracted; e^… is summed in four lanes (key j in lane j mod 4), lanes (0+2)+(1+3); y
 * accumulates over keys in order. A query's bits depend on its keys alone: one at a time or all at once is the same.
 * lse = ln Σ e^(scale · score) is kept for the backward pass. Scores exist for one tile of queries only.
 * Source: Vaswani et al. 2017; Ainslie et al. 2023 (GQA); Dao et al. 2022 for lse.
 */
export const attention = defineOp({
  name: "attention",
  operands: [
    { name: "q", dtype: "f32", access: "in", shape: ({ batch, queryLength, heads, headDim }) => [batch, queryLength, heads, headDim] },
    { name: "k", dtype: "f32", access: "in", shape: ({ batch, keyLength, kvHeads, headDim }) => [batch, keyLength, kvHeads, headDim] },
    { name: "v", dtype: "f32", access: "in", shape: ({ batch, keyLength, kvHeads, headDim }) => [batch, keyLength, kvHeads, headDim] },
    { name: "y", dtype: "f32", access: "out", shape: ({ batch, queryLength, heads, headDim }) => [batch, queryLength, heads, headDim] },
    { name: "lse", dtype: "f32", access: "out", shape: ({ batch, queryLength, heads }) => [batch, heads, queryLength] },
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
    checkHeads("attention", params);
    if (params.keyLength < params.queryLength) {
      throw new ShapeError("attention", "keyLength", { expected: `at least queryLength, ${params.queryLength}`, got: params.keyLength });
    }
  },
  tiles: ({ batch, kvHeads, queryLength }) => batch * kvHeads * Math.ceil(queryLength / QUERIES),
  scratch: ({ keyLength, heads, kvHeads, headDim }) =>
    192 + 32 * Math.max(BLOCK_KEYS, headDim) + 4 * (heads / kvHeads) * QUERIES * Math.ceil(keyLength / 8) * 8,
  cost: (p) => ({
    bytes: 4 * p.batch * p.headDim * (2 * p.queryLength * p.heads + 2 * p.keyLength * p.kvHeads),
    flops: 4 * p.headDim * seen(p),
  }),
  agreement: { relative: 2.5e-6, absolute: 1e-8 }, // measured 8.6e-7 of the largest value; a factor of 3
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: [{ entry: "main", lib: [GRID, EXP], workgroups: ({ batch, heads, queryLength }) => batch * heads * Math.ceil(queryLength / 8) }] },
});

/** Pairs of a query and a key that it sees, over all heads. */
export function seen({ batch, queryLength, keyLength, heads }: Params<"batch" | "queryLength" | "keyLength" | "heads">): number {
  return batch * heads * queryLength * (keyLength - (queryLength - 1) / 2);
}

/** @throws ShapeError */
export function checkHeads(op: string, { heads, kvHeads, scale }: Params<"heads" | "kvHeads" | "scale">): void {
  if (!kvHeads || heads % kvHeads) throw new ShapeError(op, "heads", { expected: `a multiple of kvHeads, ${kvHeads}`, got: heads });
  if (!(scale > 0)) throw new ShapeError(op, "scale", { expected: "a positive number", got: scale });
}
