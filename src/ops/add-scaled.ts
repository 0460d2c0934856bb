import code from "../../gpu/add-scaled.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/** y += alpha · x */
export const addScaled = defineOp({
  name: "add-scaled",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "inout", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "alpha", type: "f32" },
  ],
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n }) => ({ bytes: 12 * n, flops: 2 * n }),
  agreement: { relative: 1.2e-7, absolute: 1e-30 },
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", passes: elementwise(({ n }) => n) },
});
