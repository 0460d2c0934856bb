import code from "../../gpu/bf16-to-f32.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/**
 * y = x, exactly: the 16 bits become the upper half of an f32. n = 0 does nothing.
 * Source: IEEE 754-2019 §3, §4.3.1; torch's Tensor.to.
 */
export const bf16ToF32 = defineOp({
  name: "bf16-to-f32",
  operands: [
    { name: "x", dtype: "bf16", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [{ name: "n", type: "u32" }],
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n }) => ({ bytes: 6 * n, flops: 0 }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: elementwise(({ n }) => Math.ceil(n / 2)) },
});
