import code from "../../gpu/f32-to-bf16.wgsl";
import { defineOp } from "../op.ts";
import { elementwise, HALF } from "./gpu-lib.ts";

/**
 * y = nearest bf16 of x, ties to even; too large becomes ±infinity; NaN becomes the quiet NaN of its sign. n = 0 does nothing.
 * Source: IEEE 754-2019 §3, §4.3.1; torch's Tensor.to.
 */
export const f32ToBf16 = defineOp({
  name: "f32-to-bf16",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "bf16", access: "out", shape: ({ n }) => [n] },
  ],
  params: [{ name: "n", type: "u32" }],
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n }) => ({ bytes: 6 * n, flops: 0 }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: elementwise(({ n }) => Math.ceil(n / 2), HALF) },
});
