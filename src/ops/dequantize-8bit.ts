import code from "../../gpu/dequantize-8bit.wgsl";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { ARITHMETIC, elementwise } from "./gpu-lib.ts";

/**
 * y[i] = f32(f32(code[q[i]] · absmax[i / blocksize]) + offset), two roundings.
 *
 * offset −0 leaves every value as it is, 0 would turn −0 into 0. n = 0 does nothing.
 * Source: bitsandbytes dequantize_blockwise; the constants of double quantization come out the same way.
 */
export const dequantize8bit = defineOp({
  name: "dequantize-8bit",
  operands: [
    { name: "q", dtype: "u8", access: "in", shape: ({ n }) => [n] },
    { name: "absmax", dtype: "f32", access: "in", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
    { name: "code", dtype: "f32", access: "in", shape: () => [256] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
    { name: "offset", type: "f32" },
  ],
  check: ({ blocksize }) => checkBlocksize("dequantize-8bit", blocksize),
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n, blocksize }) => ({ bytes: 5 * n + 4 * Math.ceil(n / blocksize), flops: 2 * n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: elementwise(({ n }) => n, ...ARITHMETIC) },
});
