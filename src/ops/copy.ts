import code from "../../gpu/copy.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/** y = x */
export const copy = defineOp({
  name: "copy",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
  ],
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n }) => ({ bytes: 8 * n, flops: 0 }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", passes: elementwise(({ n }) => n) },
});
