// Decoding of 4-bit weights, shared by dequantize-4bit and the kernels that multiply with them.
// Layout and rounding: src/ops/dequantize-4bit.ts.
import { firstHalves, interleaveHigh16, interleaveHigh8, interleaveLow16, interleaveLow8, secondHalves } from "./bytes";
import { roundToBf16, roundToF16 } from "./half";

/** A 4-bit tensor with its constants, kept in scratch for one call. */
@unmanaged
export class Weights4 {
  packed: usize; // u8[ceil(n / 2)], even element in the high nibble
  absmax: usize; // f32[blocks], u8[blocks] when nested
  code: usize; // f32[16]
  nestedAbsmax: usize; // f32[ceil(blocks / 256)]
  nestedCode: usize; // f32[256]
  shift: i32; // log2 of the blocksize
  nested: i32;
  nestedOffset: f32;
  round: i32; // 0 f32, 1 f16, 2 bf16
  planes: usize; // u8[4][16]: byte b of every value of the code, because a swizzle looks up bytes; u8[16] of 15s before it
}

export const WEIGHTS4_BYTES: usize = 128;

// @ts-ignore: decorator
@inline
export function placeWeights(
  at: usize, packed: usize, absmax: usize, code: usize, nestedAbsmax: usize, nestedCode: usize,
  blocksize: i32, nested: i32, nestedOffset: f32, round: i32,
): Weights4 {
  const w = changetype<Weights4>(at);
  w.packed = packed;
  w.absmax = absmax;
  w.code = code;
  w.nestedAbsmax = nestedAbsmax;
  w.nestedCode = nestedCode;
  w.shift = ctz(blocksize); // a power of two, says the contract
  w.nested = nested;
  w.nestedOffset = nestedOffset;
  w.round = round;
  w.planes = at + WEIGHTS4_BYTES / 2;
  v128.store(w.planes - 16, i8x16.splat(15));
  const c0 = v128.load(code), c1 = v128.load(code, 16), c2 = v128.load(code, 32), c3 = v128.load(code, 48);
  const l0 = planesLow(c0, c1), l1 = planesLow(c2, c3), h0 = planesHigh(c0, c1), h1 = planesHigh(c2, c3);
  v128.store(w.planes, firstHalves(l0, l1));
  v128.store(w.planes, secondHalves(l0, l1), 16);
  v128.store(w.planes, firstHalves(h0, h1), 32);
  v128.store(w.planes, secondHalves(h0, h1), 48);
  return w;
}

/** Byte `k` of the 8 values in a and b, then byte `k + 1` of them; both planes of one pair are cut out of two of these. */
// @ts-ignore: decorator
@inline
function planesLow(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29);
}
// @ts-ignore: decorator
@inline
function planesHigh(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
}

/** The factor of one block: stored as f32, or as a byte of the nested code (two roundings, as bitsandbytes does). */
// @ts-ignore: decorator
@inline
export function blockScale(w: Weights4, block: i32): f32 {
  if (!w.nested) return load<f32>(w.absmax + (<usize>block << 2));
  const q = <usize>load<u8>(w.absmax + <usize>block);
  return load<f32>(w.nestedCode + (q << 2)) * load<f32>(w.nestedAbsmax + (<usize>(block >> 8) << 2)) + w.nestedOffset;
}

/** The codes of the even elements, one a byte. The mask is loaded: engines would build a constant anew each time. */
// @ts-ignore: decorator
@inline
export function evenCodes(bytes: v128, planes: usize): v128 {
  return v128.and(i16x8.shr_u(bytes, 4), v128.load(planes - 16));
}

// @ts-ignore: decorator
@inline
export function oddCodes(bytes: v128, planes: usize): v128 {
  return v128.and(bytes, v128.load(planes - 16));
}

/** Codes are below 16, where the relaxed swizzle, one instruction on x86 instead of two, is exact everywhere. */
// @ts-ignore: decorator
@inline
function byteOf(plane: usize, codes: v128): v128 {
  return ASC_FEATURE_RELAXED_SIMD ? i8x16.relaxed_swizzle(v128.load(plane), codes) : i8x16.swizzle(v128.load(plane), codes);
}

/** 16 codes (one a byte) → 16 values: four at `to`, at + 16, at `next` and at + 16, times `scale0` and `scale1` in turns. */
// @ts-ignore: decorator
@inline
export function expand16(to: usize, next: usize, codes: v128, planes: usize, scale0: v128, scale1: v128): void {
  const b0 = byteOf(planes, codes);
  const b1 = byteOf(planes + 16, codes);
  const b2 = byteOf(planes + 32, codes);
  const b3 = byteOf(planes + 48, codes);
  const low01 = interleaveLow8(b0, b1);
  const low23 = interleaveLow8(b2, b3);
  v128.store(to, f32x4.mul(interleaveLow16(low01, low23), scale0));
  v128.store(to, f32x4.mul(interleaveHigh16(low01, low23), scale1), 16);
  const high01 = interleaveHigh8(b0, b1);
  const high23 = interleaveHigh8(b2, b3);
  v128.store(next, f32x4.mul(interleaveLow16(high01, high23), scale0));
  v128.store(next, f32x4.mul(interleaveHigh16(high01, high23), scale1), 16);
}

// @ts-ignore: decorator
@inline
function decodeOne(w: Weights4, to: usize, at: i32, scale: f32): void {
  const byte = <u32>load<u8>(w.packed + <usize>(at >> 1));
  const nibble = at & 1 ? byte & 15 : byte >> 4;
  store<f32>(to, load<f32>(w.code + (<usize>nibble << 2)) * scale);
}

/** to[i] ← element start + i, i < length, rounded as the tensor asks. Blocks may begin anywhere in the range. */
export function decode4bit(w: Weights4, to: usize, start: i32, length: i32): void {
  const shift = w.shift;
  const planes = w.planes;
  const end = start + length;
  let target = to;
  let at = start;
  while (at < end) {
    const block = at >> shift;
    const stop = min((block + 1) << shift, end);
    const scale = blockScale(w, block);
    const scales = f32x4.splat(scale);
    if (at & 1) {
      decodeOne(w, target, at++, scale);
      target += 4;
    }
    for (; at + 32 <= stop; at += 32, target += 128) {
      const bytes = v128.load(w.packed + <usize>(at >> 1));
      const even = evenCodes(bytes, planes), odd = oddCodes(bytes, planes);
      expand16(target, target + 32, interleaveLow8(even, odd), planes, scales, scales);
      expand16(target + 64, target + 96, interleaveHigh8(even, odd), planes, scales, scales);
    }
    for (; at < stop; at++, target += 4) decodeOne(w, target, at, scale); // tail
  }
  roundTo(w, to, length);
}

/** f32[length] in place, to the dtype that the tensor stands for. */
// @ts-ignore: decorator
@inline
export function roundTo(w: Weights4, at: usize, length: i32): void {
  if (w.round == 1) roundToF16(at, length);
  else if (w.round == 2) roundToBf16(at, length);
}
