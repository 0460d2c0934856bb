import code from "../../gpu/quantize-8bit.wgsl";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { blockwise } from "./gpu-lib.ts";

/**
 * d = f32(x − offset), absmax[b] = max |d| over the NaN-free elements of block b,
 * s = clamp(f32(d · f32(1 / absmax)), −1, 1),
 * q = lut[trunc(f32(f32(f32(f32(s + 1) · 0.5) · 65535) + 0.5))].
 *
 * The table comes from `dynamicLut`. Short last blocks follow the same rule. A block with absmax 0 gives
 * bytes 0; NaN (also 0 · ∞) gives entry 0. n = 0 does nothing.
 * Source: bitsandbytes ≥ 0.50 quantize_blockwise on the CPU; for the constants of 4-bit blocks (double
 * quantization) with blocksize 256 and offset = their mean, Dettmers et al. 2023 (QLoRA), §3.
 */
export const quantize8bit = defineOp({
  name: "quantize-8bit",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "lut", dtype: "u8", access: "in", shape: () => [65536] },
    { name: "q", dtype: "u8", access: "out", shape: ({ n }) => [n] },
    { name: "absmax", dtype: "f32", access: "out", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
    { name: "offset", type: "f32" },
  ],
  check: ({ blocksize }) => checkBlocksize("quantize-8bit", blocksize),
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n, blocksize }) => ({ bytes: 5 * n + 4 * Math.ceil(n / blocksize), flops: 8 * n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: blockwise() },
});
