import code from "../../gpu/clip-scale.wgsl";
import { defineOp } from "../op.ts";
import { rowwise } from "./gpu-lib.ts";

/**
 * clip = {norm, factor}: norm = √(Σ partials) in f64, factor = maxNorm > 0 ? min(1, maxNorm / (norm + 1e-6)) : 1.
 * Source: torch.nn.utils.clip_grad_norm_.
 */
export const clipScale = defineOp({
  name: "clip-scale",
  operands: [
    { name: "partials", dtype: "f32", access: "in", shape: ({ count }) => [count] },
    { name: "clip", dtype: "f32", access: "out", shape: () => [2] },
  ],
  params: [
    { name: "count", type: "u32" },
    { name: "maxNorm", type: "f32" },
  ],
  tiles: () => 1,
  cost: ({ count }) => ({ bytes: 4 * count + 8, flops: count }),
  agreement: { relative: 2.4e-7, absolute: 0 },
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: rowwise(() => 1) },
});
