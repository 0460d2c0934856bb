// Decoding of 4-bit weights, shared by dequantize-4bit and the kernels that multiply with them.
// Layout and rounding: src/ops/dequantize-4bit.ts.
import { firstHalves, interleaveHigh16, interleaveHigh8, interleaveLow16, interleaveLow8, secondHalves } from "./bytes";
import { roundToBf16, roundToF16 } from "./half";

/** The factor of one block: stored as f32, or as a byte of the nested code (two roundings, as bitsandbytes does). */
// @ts-ignore: decorator
@inline
export function blockScale(absmax: usize, nestedAbsmax: usize, nestedCode: usize, block: i32, nested: i32, nestedOffset: f32): f32 {
  if (!nested) return load<f32>(absmax + (<usize>block << 2));
  const q = <usize>load<u8>(absmax + <usize>block);
  return load<f32>(nestedCode + (q << 2)) * load<f32>(nestedAbsmax + (<usize>(block >> 8) << 2)) + nestedOffset;
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

/** 16 codes (one a byte) → 16 values: the table lies in four byte planes, because a swizzle looks up bytes. */
// @ts-ignore: decorator
@inline
function expand16(to: usize, codes: v128, p0: v128, p1: v128, p2: v128, p3: v128, scale: v128): void {
  const b0 = i8x16.swizzle(p0, codes);
  const b1 = i8x16.swizzle(p1, codes);
  const b2 = i8x16.swizzle(p2, codes);
  const b3 = i8x16.swizzle(p3, codes);
  const low01 = interleaveLow8(b0, b1);
  const low23 = interleaveLow8(b2, b3);
  v128.store(to, f32x4.mul(interleaveLow16(low01, low23), scale));
  v128.store(to, f32x4.mul(interleaveHigh16(low01, low23), scale), 16);
  const high01 = interleaveHigh8(b0, b1);
  const high23 = interleaveHigh8(b2, b3);
  v128.store(to, f32x4.mul(interleaveLow16(high01, high23), scale), 32);
  v128.store(to, f32x4.mul(interleaveHigh16(high01, high23), scale), 48);
}

// @ts-ignore: decorator
@inline
function decodeOne(to: usize, packed: usize, code: usize, at: i32, scale: f32): void {
  const byte = <u32>load<u8>(packed + <usize>(at >> 1));
  const nibble = at & 1 ? byte & 15 : byte >> 4;
  store<f32>(to, load<f32>(code + (<usize>nibble << 2)) * scale);
}

/** Flat elements [start, start + len) as f32; `round` 1 rounds them to f16, 2 to bf16. Blocks may begin anywhere in the range. */
export function decode4bit(
  to: usize, // f32[len]
  packed: usize, // u8[ceil(n / 2)], element 0 of the tensor in the high nibble of byte 0
  absmax: usize, // f32[ceil(n / blocksize)], with nested u8[ceil(n / blocksize)]
  code: usize, // f32[16]
  nestedAbsmax: usize, // with nested f32[ceil(n / blocksize / 256)]
  nestedCode: usize, // with nested f32[256]
  start: i32, len: i32, blocksize: i32, nested: i32, nestedOffset: f32, round: i32,
): void {
  const shift = ctz(blocksize); // a power of two, says the contract
  const nibble = i8x16.splat(15);
  const c0 = v128.load(code), c1 = v128.load(code, 16), c2 = v128.load(code, 32), c3 = v128.load(code, 48);
  const l0 = planesLow(c0, c1), l1 = planesLow(c2, c3), h0 = planesHigh(c0, c1), h1 = planesHigh(c2, c3);
  const p0 = firstHalves(l0, l1), p1 = secondHalves(l0, l1), p2 = firstHalves(h0, h1), p3 = secondHalves(h0, h1);
  const end = start + len;
  let target = to;
  let at = start;
  while (at < end) {
    const block = at >> shift;
    const stop = min((block + 1) << shift, end);
    const scale = blockScale(absmax, nestedAbsmax, nestedCode, block, nested, nestedOffset);
    const scales = f32x4.splat(scale);
    if (at & 1) {
      decodeOne(target, packed, code, at++, scale);
      target += 4;
    }
    for (; at + 32 <= stop; at += 32, target += 128) {
      const bytes = v128.load(packed + <usize>(at >> 1));
      const even = i8x16.shr_u(bytes, 4);
      const odd = v128.and(bytes, nibble);
      expand16(target, interleaveLow8(even, odd), p0, p1, p2, p3, scales);
      expand16(target + 64, interleaveHigh8(even, odd), p0, p1, p2, p3, scales);
    }
    for (; at < stop; at++, target += 4) decodeOne(target, packed, code, at, scale); // tail
  }
  if (round == 1) roundToF16(to, len);
  else if (round == 2) roundToBf16(to, len);
}
