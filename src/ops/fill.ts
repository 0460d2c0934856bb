import code from "../../gpu/fill.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/** y = value, everywhere */
export const fill = defineOp({
  name: "fill",
  operands: [
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "value", type: "f32" },
  ],
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n }) => ({ bytes: 4 * n, flops: 0 }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", passes: elementwise(({ n }) => n) },
});
