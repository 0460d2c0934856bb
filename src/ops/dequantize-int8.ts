import code from "../../gpu/dequantize-int8.wgsl";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { ARITHMETIC, elementwise } from "./gpu-lib.ts";

/** y[i] = f32(q[i] · f32(absmax[i / blocksize] / 127)): what `quantize-int8` kept. n = 0 does nothing. */
export const dequantizeInt8 = defineOp({
  name: "dequantize-int8",
  operands: [
    { name: "q", dtype: "i8", access: "in", shape: ({ n }) => [n] },
    { name: "absmax", dtype: "f32", access: "in", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
    { name: "y", dtype: "f32", access: "out", shape: ({ n }) => [n] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
  ],
  check: ({ blocksize }) => checkBlocksize("dequantize-int8", blocksize),
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n, blocksize }) => ({ bytes: 5 * n + 4 * Math.ceil(n / blocksize), flops: n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: elementwise(({ n }) => n, ...ARITHMETIC) },
});
