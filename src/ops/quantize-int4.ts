import code from "../../gpu/quantize-int4.wgsl";
import { defineOp } from "../op.ts";
import { checkBlocksize } from "./blocksize.ts";
import { blockwise, LEVELS } from "./gpu-lib.ts";

/**
 * absmax[b] = max |x| over block b, packed = nearest integer (ties to even) of
 * f32(x · f32(7 / max(absmax, 1e-36))), within −7 … 7.
 * Two's complement, element 2j in the high nibble of byte j; an odd n is filled up with 0.
 *
 * NaN does not count for absmax and becomes 0; next to an infinity everything becomes 0. n = 0 does nothing.
 * Source: absmax quantization, Dettmers et al. 2022 (LLM.int8), §2.1, applied to blocks. Not a storage
 * format of checkpoints here: `inspect --error` compares resolutions with it.
 */
export const quantizeInt4 = defineOp({
  name: "quantize-int4",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ n }) => [n] },
    { name: "packed", dtype: "u8", access: "out", shape: ({ n }) => [Math.ceil(n / 2)] },
    { name: "absmax", dtype: "f32", access: "out", shape: ({ n, blocksize }) => [Math.ceil(n / blocksize)] },
  ],
  params: [
    { name: "n", type: "u32" },
    { name: "blocksize", type: "u32" },
  ],
  check: ({ blocksize }) => checkBlocksize("quantize-int4", blocksize),
  tiles: ({ n }) => Math.ceil(n / 65536),
  cost: ({ n, blocksize }) => ({ bytes: 4.5 * n + 4 * Math.ceil(n / blocksize), flops: 2 * n }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: blockwise(LEVELS) },
});
