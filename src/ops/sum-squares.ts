import code from "../../gpu/sum-squares.wgsl";
import { defineOp } from "../op.ts";
import { rowwise } from "./gpu-lib.ts";

/** Elements whose squares make one partial sum. */
export const ELEMENTS_PER_PARTIAL = 65536;

/** partials[p] = Σ x² over 65536 elements from 65536·p on, accumulated in f64 and rounded once. `clip-scale` goes on. */
export const sumSquares = defineOp({
  name: "sum-squares",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "partials", dtype: "f32", access: "out", shape: ({ n }) => [Math.ceil(n / ELEMENTS_PER_PARTIAL)] },
  ],
  params: [{ name: "n", type: "u32" }],
  tiles: ({ n }) => Math.ceil(n / ELEMENTS_PER_PARTIAL),
  cost: ({ n }) => ({ bytes: 4 * n, flops: 2 * n }),
  agreement: { relative: 1.2e-7, absolute: 0 },
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", rowsUnit: ELEMENTS_PER_PARTIAL, passes: rowwise(({ n }) => Math.ceil(n / ELEMENTS_PER_PARTIAL)) },
});
