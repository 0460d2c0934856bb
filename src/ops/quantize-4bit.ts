import code from "../../gpu/quantize-4bit.wgsl";
import { ShapeError } from "../errors.ts";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { blockwise, HALF } from "./gpu-lib.ts";

const INPUT_TYPES: readonly string[] = ["f32", "f16", "bf16"];

/**
 * absmax[b] = max |x|, s = clamp(f32(x · f32(1 / max(absmax, 1e-38))), −1, 1), rank = number of
 * thresholds strictly below s, code = codes[rank]; element 2j in the high nibble of byte j.
 *
 * Blocks run over the flattened tensor. A last block that is short divides, s = f32(x / absmax), and
 * stores max(absmax, 1e-38). An odd n is filled up with s = 0. Zeros: absmax 0, the code of 0.
 * A NaN makes absmax NaN (0x7fc00000) and every code of its block codes[15]; an infinity makes the finite
 * ones 0 and the infinite ones codes[15]. thresholds and codes come from `rankTable`. inputType: 0 f32,
 * 1 f16, 2 bf16, converted exactly. n = 0 does nothing.
 * Source: bitsandbytes ≥ 0.50 quantize_4bit, its default (CPU) rule; Dettmers et al. 2023 (QLoRA), §3.
 */
export const quantize4bit = defineOp({
  name: "quantize-4bit",
  operands: [
    { name: "x", dtype: ["f32", "f16", "bf16"], access: "in", shape: ({ n }) => [n] },
    { name: "thresholds", dtype: "f32", access: "in", shape: () => [15] },
    { name: "codes", dtype: "u8", access: "in", shape: () => [16] },
    { name: "packed", dtype: "u8", access: "out", shape: ({ n }) => [Math.ceil(n / 2)] },
    { name: "absmax", dtype: "f32", access: "out", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
    { name: "inputType", type: "u32" },
  ],
  check: ({ blocksize, inputType }, { x }) => {
    checkBlocksize("quantize-4bit", blocksize);
    if (INPUT_TYPES[inputType] !== x.dtype) throw new ShapeError("quantize-4bit", `inputType for ${x.dtype} (${x.label})`, { expected: INPUT_TYPES.indexOf(x.dtype), got: inputType });
  },
  tiles: ({ n }) => Math.ceil(n / 65536),
  scratch: ({ blocksize }) => 256 + 4 * blocksize,
  cost: ({ n, blocksize, inputType }) => ({ bytes: (inputType ? 2.5 : 4.5) * n + 4 * Math.ceil(n / blocksize), flops: 2 * n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: blockwise(HALF) },
});
