// f16 and bf16 ↔ f32, four lanes at a time. Nearest, ties to even; every NaN becomes the quiet NaN
// of its sign, so that results do not depend on an engine's NaN payloads.

const QUIET_NAN: i32 = 0x7fc00000;

/** Each f32 lane rounded to a bf16 value, still as f32. */
// @ts-ignore: decorator
@inline
export function roundLanesToBf16(v: v128): v128 {
  const odd = v128.and(i32x4.shr_u(v, 16), i32x4.splat(1));
  const rounded = v128.and(i32x4.add(v, i32x4.add(odd, i32x4.splat(0x7fff))), i32x4.splat(0xffff0000));
  return quiet(v, rounded);
}

/** Each f32 lane rounded to an f16 value, still as f32; from 65520 on infinity. */
// @ts-ignore: decorator
@inline
export function roundLanesToF16(v: v128): v128 {
  const sign = v128.and(v, i32x4.splat(0x80000000));
  const size = v128.andnot(v, i32x4.splat(0x80000000));
  const odd = v128.and(i32x4.shr_u(size, 13), i32x4.splat(1));
  const normal = v128.andnot(i32x4.add(size, i32x4.add(odd, i32x4.splat(0x0fff))), i32x4.splat(0x1fff));
  const huge = i32x4.ge_s(normal, i32x4.splat(0x47800000)); // 2^16
  const finite = v128.bitselect(i32x4.splat(0x7f800000), normal, huge);
  // Below 2^-14 an f16 is a multiple of 2^-24, which is the last place of 0.5.
  const half = f32x4.splat(0.5);
  const tiny = f32x4.sub(f32x4.add(size, half), half);
  const small = i32x4.lt_s(size, i32x4.splat(0x38800000)); // 2^-14
  return quiet(v, v128.or(sign, v128.bitselect(tiny, finite, small)));
}

// @ts-ignore: decorator
@inline
function quiet(v: v128, otherwise: v128): v128 {
  const nan = v128.or(v128.and(v, i32x4.splat(0x80000000)), i32x4.splat(QUIET_NAN));
  return v128.bitselect(otherwise, nan, f32x4.eq(v, v));
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
