import code from "../../gpu/cross-entropy.wgsl";
import { defineOp } from "../op.ts";
import { EXP, rowwise } from "./gpu-lib.ts";
import { checkSlices, SLICE_PARAMS, slicesOf } from "./softmax-slices.ts";

/**
 * The second half of what `softmax-slices` began, once `partials` has every slice (mₛ, Σₛ) of a row:
 * loss[row] = ln Σ + M − wanted, M = max mₛ, Σ = Σₛ e^(mₛ − M) · Σₛ in order; one loss a row, unscaled, 0 where the target
 * is −100 (or any other number outside [0, vocab)). The columns [first, first + n) become the gradient,
 * e · (e^(mₛ − M) · scale / Σ) − onehot · scale, zeros in ignored rows. n = 0 gives the losses alone.
 *
 * Σ and the logarithm are f64. Source: torch.nn.functional.cross_entropy with ignore_index −100, reduction "none".
 */
export const crossEntropy = defineOp({
  name: "cross-entropy",
  operands: [
    { name: "targets", dtype: "i32", access: "in", shape: ({ rows }) => [rows] },
    { name: "partials", dtype: "f32", access: "in", shape: ({ rows, vocab, slice }) => [rows, slicesOf(vocab, slice), 2] },
    { name: "wanted", dtype: "f32", access: "in", shape: ({ rows }) => [rows] },
    { name: "logits", dtype: "f32", access: "inout", shape: ({ rows, n }) => [rows, n] },
    { name: "loss", dtype: "f32", access: "out", shape: ({ rows }) => [rows] },
  ],
  params: [
    ...SLICE_PARAMS,
    { name: "scale", type: "f32" },
  ],
  check: checkSlices,
  tiles: ({ rows }) => rows,
  cost: ({ rows, n }) => ({ bytes: 8 * rows * n, flops: rows * n }),
  agreement: { relative: 3e-7, absolute: 1e-8 },
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: rowwise(({ rows, n, slice }) => rows * Math.max(1, slicesOf(n, slice)), EXP) },
});
