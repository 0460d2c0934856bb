import code from "../../gpu/swiglu-backward.wgsl";
import { defineOp } from "../op.ts";
import { elementwise, EXP } from "./gpu-lib.ts";

/**
 * Gradients of `swiglu` in place of its inputs, and its output again (which the forward pass did not keep):
 *
 *   s = σ(gate), a = gate·s    y = a·up    dup = dy·a    dgate = dy·up·(s + a·(1 − s))
 */
export const swigluBackward = defineOp({
  name: "swiglu-backward",
  operands: [
    { name: "dy", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "gate", dtype: "f32", access: "inout", shape: ({ n }) => [n] },
    { name: "up", dtype: "f32", access: "inout", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [{ name: "n", type: "u32" }],
  tiles: ({ n }) => Math.ceil(n / 16384),
  cost: ({ n }) => ({ bytes: 24 * n, flops: 26 * n }),
  agreement: { relative: 1e-6, absolute: 1e-8 }, // measured 3.2e-7 of the largest value; a factor of 3
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", passes: elementwise(({ n }) => n, EXP) },
});
