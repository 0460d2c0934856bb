import code from "../../gpu/quantize-int8.wgsl";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { blockwise, LEVELS } from "./gpu-lib.ts";

/**
 * absmax[b] = max |x| over block b, q = nearest integer (ties to even) of
 * f32(x · f32(127 / max(absmax, 1e-36))), within −127 … 127.
 *
 * NaN does not count for absmax and becomes 0; next to an infinity everything becomes 0. n = 0 does nothing.
 * Source: absmax quantization, Dettmers et al. 2022 (LLM.int8), §2.1, applied to blocks. Not a storage
 * format of checkpoints here: `inspect --error` compares resolutions with it.
 */
export const quantizeInt8 = defineOp({
  name: "quantize-int8",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "q", dtype: "i8", access: "out", shape: ({ n }) => [n] },
    { name: "absmax", dtype: "f32", access: "out", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
  ],
  check: ({ blocksize }) => checkBlocksize("quantize-int8", blocksize),
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n, blocksize }) => ({ bytes: 5 * n + 4 * Math.ceil(n / blocksize), flops: 2 * n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: blockwise(LEVELS) },
});
