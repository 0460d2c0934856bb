import code from "../../gpu/cross-entropy.wgsl";
import { defineOp } from "../op.ts";
import { EXP, rowwise } from "./gpu-lib.ts";

/**
 * loss[row] = lse − z[target], lse = max + ln Σ e^(z − max): one loss a row, unscaled, 0 where the target is −100 (or
 * any other number outside [0, vocab)). With `backward` the logits become (softmax − onehot) · scale, zeros in ignored
 * rows; without, they stay.
 *
 * e^… is summed in f32 over 1024 logits at a time, those sums and the logarithm in f64.
 * Source: torch.nn.functional.cross_entropy with ignore_index −100, reduction "none".
 */
export const crossEntropy = defineOp({
  name: "cross-entropy",
  operands: [
    { name: "targets", dtype: "i32", access: "in", shape: ({ rows }) => [rows] },
    { name: "logits", dtype: "f32", access: "inout", shape: ({ rows, vocab }) => [rows, vocab] },
    { name: "loss", dtype: "f32", access: "out", shape: ({ rows }) => [rows] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "vocab", type: "u32" },
    { name: "backward", type: "u32" },
    { name: "scale", type: "f32" },
  ],
  tiles: ({ rows }) => rows,
  cost: ({ rows, vocab, backward }) => ({ bytes: 4 * rows * vocab * (backward ? 2 : 1), flops: 20 * rows * vocab }),
  agreement: { relative: 3e-7, absolute: 1e-8 }, // measured 9.7e-8 of the largest value; a factor of 3
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: rowwise(({ rows }) => rows, EXP) },
});
