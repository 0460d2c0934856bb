// e^x and ln x with errors of an ulp or two: WGSL lets the builtins be off by 3 + 2|x| ulps.

// 0 below −87, the largest finite power above 88.72; NaN stays NaN. Cephes' expf (Moshier), the same as assembly/lib/exp.ts.
fn exp_of(x: f32) -> f32 {
  let bounded = clamp(x, -87.0, 88.72);
  let n = round(bounded * 1.44269504);
  // n · 0.693359375 is exact, so the remainder is too, fused or not.
  let r = (bounded - n * 0.693359375) + n * 2.12194440e-4;
  var p = 1.9875691500e-4;
  p = fma(p, r, 1.3981999507e-3);
  p = fma(p, r, 8.3334519073e-3);
  p = fma(p, r, 4.1665795894e-2);
  p = fma(p, r, 1.6666665459e-1);
  p = fma(p, r, 5.0000001201e-1);
  p = fma(p, r * r, r) + 1.0;
  let power = bitcast<f32>(bitcast<i32>(p) + (i32(n) << 23u));
  let nan = (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; // never x != x, which a shader compiler may take for false
  return select(select(power, 0.0, x < -87.0), x, nan);
}

// For positive, normal x; NaN and infinity stay. Cephes' logf: x = m · 2^n with m in [√½, √2).
fn log_of(x: f32) -> f32 {
  let bits = bitcast<u32>(x);
  // Adding the distance of 1 to √½ carries into the exponent exactly when the mantissa is above √2.
  let n = i32((bits + 0x004afb0du) >> 23u) - 127;
  let m = bitcast<f32>(bits - (u32(n) << 23u)) - 1.0;
  let z = m * m;
  var p = 7.0376836292e-2;
  p = fma(p, m, -1.1514610310e-1);
  p = fma(p, m, 1.1676998740e-1);
  p = fma(p, m, -1.2420140846e-1);
  p = fma(p, m, 1.4249322787e-1);
  p = fma(p, m, -1.6668057665e-1);
  p = fma(p, m, 2.0000714765e-1);
  p = fma(p, m, -2.4999993993e-1);
  p = fma(p, m, 3.3333331174e-1);
  let tail = m * z * p - f32(n) * 2.12194440e-4 - 0.5 * z;
  return select((m + tail) + f32(n) * 0.693359375, x, bits >= 0x7f800000u);
}
