import code from "../../gpu/add-bias.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/** y[row] += bias, for every row. */
export const addBias = defineOp({
  name: "add-bias",
  operands: [
    { name: "bias", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "inout", shape: ({ rows, n }) => [rows, n] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "n", type: "u32" },
  ],
  tiles: ({ rows }) => Math.ceil(rows / 64),
  cost: ({ rows, n }) => ({ bytes: 8 * rows * n + 4 * n, flops: rows * n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: elementwise(({ rows, n }) => rows * n) },
});
