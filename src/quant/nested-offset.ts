/**
 * The mean of absmax, summed in float64 and rounded once: what double quantization takes off. absmax: f32[n], n ≥ 1.
 * Four sums side by side, since one would wait for every addition: a quarter of the time.
 */
export function nestedOffsetOf(absmax: Float32Array): number {
  const whole = absmax.length & ~3;
  let a = 0, b = 0, c = 0, d = 0;
  for (let i = 0; i < whole; i += 4) {
    a += absmax[i];
    b += absmax[i + 1];
    c += absmax[i + 2];
    d += absmax[i + 3];
  }
  for (let i = whole; i < absmax.length; i++) a += absmax[i];
  return Math.fround((a + b + (c + d)) / absmax.length);
}
