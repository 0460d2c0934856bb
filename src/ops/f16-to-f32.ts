import code from "../../gpu/f16-to-f32.wgsl";
import { defineOp } from "../op.ts";
import { elementwise, HALF } from "./gpu-lib.ts";

/**
 * y = x, exactly; a NaN stays a NaN of its sign. n = 0 does nothing.
 * Source: IEEE 754-2019 §3, §4.3.1; torch's Tensor.to.
 */
export const f16ToF32 = defineOp({
  name: "f16-to-f32",
  operands: [
    { name: "x", dtype: "f16", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [{ name: "n", type: "u32" }],
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n }) => ({ bytes: 6 * n, flops: 0 }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: elementwise(({ n }) => Math.ceil(n / 2), HALF) },
});
