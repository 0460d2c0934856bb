import code from "../../gpu/swiglu.wgsl";
import { defineOp } from "../op.ts";
import { elementwise, EXP } from "./gpu-lib.ts";

/**
 * y = gate · σ(gate) · up, σ(x) = 1 / (1 + e^−x); e^x by a polynomial, relative error below 1.5e-7 (assembly/lib/exp.ts).
 * Source: Shazeer 2020; Transformers' LlamaMLP with silu.
 */
export const swiglu = defineOp({
  name: "swiglu",
  operands: [
    { name: "gate", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "up", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [{ name: "n", type: "u32" }],
  tiles: ({ n }) => Math.ceil(n / 16384),
  cost: ({ n }) => ({ bytes: 12 * n, flops: 20 * n }),
  agreement: { relative: 4e-7, absolute: 1e-8 }, // measured 1.1e-7 of the largest value; a factor of 3
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "n", passes: elementwise(({ n }) => n, EXP) },
});
