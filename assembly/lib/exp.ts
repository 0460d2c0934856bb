import { madd } from "./simd";

/**
 * e^x in four lanes, relative error below 1.5e-7; 0 below −87, the largest finite power above 88.72; NaN stays NaN.
 * x = n·ln2 + r with |r| ≤ ln2 / 2, then Cephes' polynomial for e^r (expf.c, Moshier).
 */
// @ts-ignore: decorator
@inline
export function exp4(x: v128): v128 {
  const bounded = f32x4.pmin(f32x4.splat(88.72), f32x4.pmax(f32x4.splat(-87), x));
  // Adding 1.5 · 2²³ leaves round(x / ln2) in the low bits.
  const shifted = madd(bounded, f32x4.splat(1.44269504088896341), f32x4.splat(12582912));
  const n = f32x4.sub(shifted, f32x4.splat(12582912));
  const r = madd(n, f32x4.splat(2.12194440e-4), madd(n, f32x4.splat(-0.693359375), bounded));
  let p = madd(f32x4.splat(1.9875691500e-4), r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = f32x4.add(madd(p, f32x4.mul(r, r), r), f32x4.splat(1));
  const power = i32x4.add(p, i32x4.shl(shifted, 23));
  return v128.andnot(power, f32x4.lt(x, f32x4.splat(-87)));
}

/** 1 / (1 + e^−x) */
// @ts-ignore: decorator
@inline
export function sigmoid4(x: v128): v128 {
  return f32x4.div(f32x4.splat(1), f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x))));
}
