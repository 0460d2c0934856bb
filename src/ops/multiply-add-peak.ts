import code from "../../gpu/multiply-add-peak.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/**
 * For calibration: multiply-adds with no memory in the way. Each y is the sum of four times twelve chains
 * s ← s · 0.5 + 0.5 that start at j / 16, j = 0 … 11, after `rounds` rounds: 48 − 31.5 / 2^rounds.
 *
 * s · 0.5 is exact, so fused and separate multiply-adds give the same bits; any order of the last sum does too for
 * rounds ≤ 14, and from 26 on, where every s has become 1. Different starts keep a compiler from merging the chains.
 */
export const multiplyAddPeak = defineOp({
  name: "multiply-add-peak",
  operands: [
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "rounds", type: "u32" },
  ],
  tiles: ({ n }) => n,
  cost: ({ n, rounds }) => ({ bytes: 4 * n, flops: 96 * n * rounds }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: elementwise(({ n }) => n) },
});
