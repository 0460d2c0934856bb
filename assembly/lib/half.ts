// f16 and bf16 ↔ f32, four lanes at a time. Rounding is to nearest, ties to even; a NaN that is rounded
// becomes the quiet NaN of its sign, so that results do not depend on payloads.

const SIGN: i32 = 0x80000000;
const INFINITE: i32 = 0x7f800000;
const F16_ONE_MORE: i32 = 0x38000000; // what the exponent of an f16 lacks: (127 − 15) << 23
const F16_LEAST_NORMAL: i32 = 0x38800000; // 2^-14

/** Each f32 lane rounded to a bf16 value, still as f32. */
// @ts-ignore: decorator
@inline
export function roundLanesToBf16(v: v128): v128 {
  const odd = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  const rounded = v128.and(i32x4.add(v, i32x4.add(odd, i32x4.splat(0x7fff))), i32x4.splat(0xffff0000));
  const nan = v128.or(v128.and(v, i32x4.splat(SIGN)), i32x4.splat(0x7fc00000));
  return v128.bitselect(rounded, nan, f32x4.eq(v, v));
}

/** Each f32 lane as the 16 bits of the nearest f16; from 65520 on infinity. */
// @ts-ignore: decorator
@inline
function lanesToF16(v: v128): v128 {
  const size = v128.andnot(v, i32x4.splat(SIGN));
  const odd = v128.and(i32x4.shr_u(size, 13), i32x4.splat(1));
  const rounded = i32x4.shr_u(i32x4.add(size, i32x4.add(odd, i32x4.splat(0x0fff))), 13);
  const normal = i32x4.min_s(i32x4.sub(rounded, i32x4.splat(F16_ONE_MORE >> 13)), i32x4.splat(0x7c00));
  // Below 2^-14 an f16 counts multiples of 2^-24, the last place of 0.5: the addition rounds.
  const tiny = i32x4.sub(f32x4.add(size, f32x4.splat(0.5)), f32x4.splat(0.5));
  const finite = v128.bitselect(tiny, normal, i32x4.lt_s(size, i32x4.splat(F16_LEAST_NORMAL)));
  const bits = v128.bitselect(i32x4.splat(0x7e00), finite, i32x4.gt_s(size, i32x4.splat(INFINITE)));
  return v128.or(bits, v128.and(i32x4.shr_u(v, 16), i32x4.splat(0x8000)));
}

/** Lanes that hold the 16 bits of an f16, as f32. */
// @ts-ignore: decorator
@inline
function lanesFromF16(h: v128): v128 {
  const size = i32x4.shl(v128.and(h, i32x4.splat(0x7fff)), 13);
  const extra = i32x4.splat(F16_ONE_MORE);
  const normal = i32x4.add(size, extra);
  const large = i32x4.add(normal, v128.and(extra, i32x4.ge_s(size, i32x4.splat(0x7c00 << 13)))); // infinity and NaN
  // A denormal f16 as the fraction of 2^-14, whose one is then taken away: no f32 denormal on the way.
  const least = i32x4.splat(F16_LEAST_NORMAL);
  const tiny = f32x4.sub(i32x4.add(size, least), least);
  const value = v128.bitselect(tiny, large, i32x4.lt_s(size, i32x4.splat(0x0400 << 13)));
  return v128.or(value, i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16));
}

// @ts-ignore: decorator
@inline
function roundLanesToF16(v: v128): v128 {
  return lanesFromF16(lanesToF16(v));
}

/** f32[n] in place. */
export function roundToBf16(at: usize, n: i32): void {
  const end = at + (<usize>n << 2);
  const whole = at + (<usize>(n & ~3) << 2);
  for (; at < whole; at += 16) v128.store(at, roundLanesToBf16(v128.load(at)));
  for (; at < end; at += 4) v128.store32_lane(at, roundLanesToBf16(v128.load32_zero(at)), 0); // tail
}

/** f32[n] in place. */
export function roundToF16(at: usize, n: i32): void {
  const end = at + (<usize>n << 2);
  const whole = at + (<usize>(n & ~3) << 2);
  for (; at < whole; at += 16) v128.store(at, roundLanesToF16(v128.load(at)));
  for (; at < end; at += 4) v128.store32_lane(at, roundLanesToF16(v128.load32_zero(at)), 0); // tail
}

/** f32[n] ← f16[n] */
export function widenF16(from: usize, to: usize, n: i32): void {
  const end = from + (<usize>n << 1);
  const whole = from + (<usize>(n & ~3) << 1);
  for (; from < whole; from += 8, to += 16) v128.store(to, lanesFromF16(v128.load16x4_u(from)));
  for (; from < end; from += 2, to += 4) v128.store32_lane(to, lanesFromF16(i32x4.splat(load<u16>(from))), 0); // tail
}

/** f32[n] ← bf16[n] */
export function widenBf16(from: usize, to: usize, n: i32): void {
  const end = from + (<usize>n << 1);
  const whole = from + (<usize>(n & ~3) << 1);
  for (; from < whole; from += 8, to += 16) v128.store(to, i32x4.shl(v128.load16x4_u(from), 16));
  for (; from < end; from += 2, to += 4) store<u32>(to, <u32>load<u16>(from) << 16); // tail
}

/** f16[n] ← f32[n] */
export function narrowToF16(from: usize, to: usize, n: i32): void {
  const end = from + (<usize>n << 2);
  const whole = from + (<usize>(n & ~3) << 2);
  for (; from < whole; from += 16, to += 8) {
    const bits = lanesToF16(v128.load(from));
    v128.store64_lane(to, i16x8.narrow_i32x4_u(bits, bits), 0);
  }
  for (; from < end; from += 4, to += 2) v128.store16_lane(to, lanesToF16(v128.load32_zero(from)), 0); // tail
}

/** bf16[n] ← f32[n] */
export function narrowToBf16(from: usize, to: usize, n: i32): void {
  const end = from + (<usize>n << 2);
  const whole = from + (<usize>(n & ~3) << 2);
  for (; from < whole; from += 16, to += 8) {
    const bits = i32x4.shr_u(roundLanesToBf16(v128.load(from)), 16);
    v128.store64_lane(to, i16x8.narrow_i32x4_u(bits, bits), 0);
  }
  for (; from < end; from += 4, to += 2) v128.store16_lane(to, roundLanesToBf16(v128.load32_zero(from)), 1); // tail
}
