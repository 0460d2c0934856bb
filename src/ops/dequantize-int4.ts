import code from "../../gpu/dequantize-int4.wgsl";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { ARITHMETIC, elementwise } from "./gpu-lib.ts";

/** y[i] = f32(packed[i] · f32(absmax[i / blocksize] / 7)): what `quantize-int4` kept. n = 0 does nothing. */
export const dequantizeInt4 = defineOp({
  name: "dequantize-int4",
  operands: [
    { name: "packed", dtype: "u8", access: "in", shape: ({ n }) => [Math.ceil(n / 2)] },
    { name: "absmax", dtype: "f32", access: "in", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
  ],
  check: ({ blocksize }) => checkBlocksize("dequantize-int4", blocksize),
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n, blocksize }) => ({ bytes: 4.5 * n + 4 * Math.ceil(n / blocksize), flops: n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: elementwise(({ n }) => n, ...ARITHMETIC) },
});
