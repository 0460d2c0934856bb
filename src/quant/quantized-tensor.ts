import { ShapeError } from "../errors.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
import { checkBlocksize } from "../ops/blocksize.ts";
import { elementsOf } from "../tensor.ts";

/** dtype of the values that were quantized, and that dequantizing to NF4, FP4 and custom tables rounds to. */
export type ValueType = "f32" | "f16" | "bf16";

interface Quantized {
  /** Row-major. */
  readonly shape: readonly number[];
  readonly dtype: ValueType;
  /** Values that share one absmax, over the flattened tensor. */
  readonly blocksize: number;
}

/** Double quantization: the absmax values as bytes of bitsandbytes' signed dynamic map, in blocks of 256. */
export interface NestedState {
  /** f32[ceil(blocks / 256)] */
  readonly absmax: Float32Array;
  /** f32[256] */
  readonly code: Float32Array;
  /** What was taken off every absmax. */
  readonly offset: number;
}

/** 4-bit codes that stand for entries of a table, as bitsandbytes stores them. */
export interface QuantizedByTable extends Quantized {
  readonly type: "nf4" | "fp4" | "custom";
  /** u8[ceil(n / 2)], the even element in the high nibble. */
  readonly packed: Uint8Array;
  /** f32[16]: what a code stands for, before its block's absmax. */
  readonly code: Float32Array;
  /** f32[ceil(n / blocksize)], or as many bytes with `nested`. */
  readonly absmax: Float32Array | Uint8Array;
  readonly nested?: NestedState;
}

/** Symmetric integers, −7 … 7 or −127 … 127, of which the largest is the block's absmax. */
export interface QuantizedIntegers extends Quantized {
  readonly type: "int4" | "int8";
  /** int4: u8[ceil(n / 2)], two's complement, the even element in the high nibble; int8: i8[n]. */
  readonly packed: Uint8Array | Int8Array;
  /** f32[ceil(n / blocksize)] */
  readonly absmax: Float32Array;
}

/** Plain data: may be stored, posted to a worker and put together by hand. */
export type QuantizedTensor = QuantizedByTable | QuantizedIntegers;

/** Bytes of codes and constants that depend on the size of the tensor: what quantization is about. */
export function storageBytesOf(q: QuantizedTensor): number {
  const nested = "nested" in q ? (q.nested?.absmax.byteLength ?? 0) : 0;
  return q.packed.byteLength + q.absmax.byteLength + nested;
}

/** @returns the number of elements. @throws ShapeError */
export function checkShape(where: string, shape: readonly number[]): number {
  const whole = Array.isArray(shape) && shape.every((size) => Number.isSafeInteger(size) && size > 0);
  const n = whole ? elementsOf(shape) : 0;
  if (n < 1 || n > 0xffffffff) throw new ShapeError(where, "shape", { expected: "sizes of at least 1, 1 to 4294967295 values in all", got: JSON.stringify(shape) });
  return n;
}

function expectArray(where: string, name: string, value: ArrayLike<number> | undefined, kinds: readonly (new (n: number) => ArrayLike<number>)[], length: number): void {
  const kind = kinds.some((type) => value instanceof type);
  if (kind && value!.length === length) return;
  throw new ShapeError(where, name, { expected: `${kinds.map((type) => type.name).join(" or ")} of ${length}`, got: value === undefined ? "nothing" : `${value.constructor?.name} of ${value.length}` });
}

/** Sizes and kinds of all that `q` holds. @returns the number of elements. @throws ShapeError naming what does not fit. */
export function checkQuantized(where: string, q: QuantizedTensor): number {
  const n = checkShape(where, q.shape);
  checkBlocksize(where, q.blocksize);
  const { type, dtype } = q;
  if (!["f32", "f16", "bf16"].includes(dtype)) throw new ShapeError(where, "dtype", { expected: "f32, f16 or bf16", got: dtype });
  const blocks = Math.ceil(n / q.blocksize);
  if (type === "int8" || type === "int4") {
    expectArray(where, "packed", q.packed, [type === "int8" ? Int8Array : Uint8Array], type === "int8" ? n : Math.ceil(n / 2));
    expectArray(where, "absmax", q.absmax, [Float32Array], blocks);
    return n;
  }
  if (type !== "nf4" && type !== "fp4" && type !== "custom") throw new ShapeError(where, "type", { expected: "nf4, fp4, custom, int8 or int4", got: type });
  expectArray(where, "packed", q.packed, [Uint8Array], Math.ceil(n / 2));
  expectArray(where, "code", q.code, [Float32Array], 16);
  expectArray(where, "absmax", q.absmax, [q.nested ? Uint8Array : Float32Array], blocks);
  if (!q.nested) return n;
  expectArray(where, "nested.absmax", q.nested.absmax, [Float32Array], Math.ceil(blocks / NESTED_BLOCKSIZE));
  expectArray(where, "nested.code", q.nested.code, [Float32Array], 256);
  if (typeof q.nested.offset !== "number") throw new ShapeError(where, "nested.offset", { expected: "a number", got: q.nested.offset });
  return n;
}
