import code from "../../gpu/dequantize-4bit.wgsl";
import { ShapeError } from "../errors.ts";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { ARITHMETIC, EXACT_4BIT, GRID, HALF } from "./gpu-lib.ts";

/**
 * y[i] = f32(code[c[i]] · scale[i / blocksize]), c = 4-bit codes, element 2j in the high nibble of byte j.
 *
 * Blocks run over the flattened tensor, across rows. scale = absmax, or with nested = 1, where absmax
 * are bytes, f32(f32(nestedCode[absmax[b]] · nestedAbsmax[b / 256]) + nestedOffset).
 * round = 1 rounds y once more to f16, 2 to bf16 (ties to even, quiet NaN), still stored as f32:
 * the dtype that the quantized tensor stands for. n = 0 does nothing; the last nibble of an odd n is not read.
 * Source: bitsandbytes dequantize_4bit; Dettmers et al. 2023 (QLoRA), §3.
 */
export const dequantize4bit = defineOp({
  name: "dequantize-4bit",
  operands: [
    { name: "packed", dtype: "u8", access: "in", shape: ({ n }) => [Math.ceil(n / 2)] },
    { name: "absmax", dtype: ["f32", "u8"], access: "in", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
    { name: "code", dtype: "f32", access: "in", shape: () => [16] },
    { name: "nestedAbsmax", dtype: "f32", access: "in", shape: ({ n, blocksize, nested }) => [nested ? Math.ceil(Math.ceil(n / blocksize) / 256) : 0] },
    { name: "nestedCode", dtype: "f32", access: "in", shape: ({ nested }) => [nested ? 256 : 0] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
    { name: "nested", type: "u32" },
    { name: "nestedOffset", type: "f32" },
    { name: "round", type: "u32" },
  ],
  check: ({ blocksize, nested }, { absmax }) => {
    checkBlocksize("dequantize-4bit", blocksize);
    const want = nested ? "u8" : "f32";
    if (absmax.dtype !== want) throw new ShapeError("dequantize-4bit", `dtype of absmax (${absmax.label}) with nested = ${nested}`, { expected: want, got: absmax.dtype });
  },
  tiles: ({ n }) => Math.ceil(n / 65536),
  scratch: () => 128,
  cost: ({ n, blocksize, nested }) => ({ bytes: 4.5 * n + (nested ? 1 : 4) * Math.ceil(n / blocksize), flops: n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: [{ entry: "main", lib: [GRID, ...ARITHMETIC, HALF, EXACT_4BIT], workgroups: ({ n }) => Math.ceil(n / 4096) }] },
});
