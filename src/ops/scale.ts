import code from "../../gpu/scale.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/** y ·= alpha */
export const scale = defineOp({
  name: "scale",
  operands: [
    { name: "y", dtype: "f32", access: "inout", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "alpha", type: "f32" },
  ],
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n }) => ({ bytes: 8 * n, flops: n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", passes: elementwise(({ n }) => n) },
});
