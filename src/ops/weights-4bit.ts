import { ShapeError } from "../errors.ts";
import type { Operands, Params } from "../op.ts";

type WeightParams = Params<"n" | "k" | "blocksize" | "nested">;

/** Blocks that share a scale of scales. */
export const NESTED_BLOCKSIZE = 256;

const blocks = ({ n, k, blocksize }: WeightParams): number => Math.ceil((n * k) / blocksize);

/**
 * The operands of a 4-bit matrix W[n, k] inside a matmul: flattened row-major, element 2j in the high nibble of byte j,
 * W[e] = round(code[nibble] · absmax[⌊e / blocksize⌋]); blocks may cross rows. With `nested`, absmax is u8 and stands for
 * nestedCode[q] · nestedAbsmax[⌊block / 256⌋] + nestedOffset, two f32 roundings as in bitsandbytes.
 */
export const WEIGHT_OPERANDS = [
  { name: "packed", dtype: "u8", access: "in", shape: ({ n, k }: WeightParams) => [Math.ceil((n * k) / 2)] },
  { name: "absmax", dtype: ["f32", "u8"], access: "in", shape: (p: WeightParams) => [blocks(p)] },
  { name: "code", dtype: "f32", access: "in", shape: () => [16] },
  { name: "nestedAbsmax", dtype: "f32", access: "in", shape: (p: WeightParams) => [p.nested ? Math.ceil(blocks(p) / NESTED_BLOCKSIZE) : 0] },
  { name: "nestedCode", dtype: "f32", access: "in", shape: ({ nested }: WeightParams) => [nested ? NESTED_BLOCKSIZE : 0] },
] as const;

/** `round` is 0 for f32, 1 for f16, 2 for bf16: what the quant state says a weight dequantizes to. */
export const WEIGHT_PARAMS = [
  { name: "blocksize", type: "u32" },
  { name: "nested", type: "u32" },
  { name: "nestedOffset", type: "f32" },
  { name: "round", type: "u32" },
] as const;

/** @throws ShapeError */
export function checkWeights(op: string, { blocksize, nested, round }: Params<"blocksize" | "nested" | "round">, { absmax }: Operands<"absmax">): void {
  if (blocksize < 32 || blocksize > 4096 || (blocksize & (blocksize - 1)) !== 0) {
    throw new ShapeError(op, "blocksize", { expected: "a power of two, 32 … 4096", got: blocksize });
  }
  const dtype = nested ? "u8" : "f32";
  if (absmax.dtype !== dtype) throw new ShapeError(op, `dtype of absmax (${absmax.label}) with nested = ${nested}`, { expected: dtype, got: absmax.dtype });
  if (round > 2) throw new ShapeError(op, "round", { expected: "0 (f32), 1 (f16) or 2 (bf16)", got: round });
}

/** Bytes of a weight as stored. */
export function weightBytes(p: WeightParams): number {
  return (p.n * p.k) / 2 + blocks(p) * (p.nested ? 1 : 4);
}
