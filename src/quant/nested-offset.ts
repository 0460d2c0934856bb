/** The mean of absmax, summed in float64 and rounded once: what double quantization takes off. absmax: f32[n], n ≥ 1. */
export function nestedOffsetOf(absmax: Float32Array): number {
  let sum = 0;
  for (const value of absmax) sum += value;
  return Math.fround(sum / absmax.length);
}
