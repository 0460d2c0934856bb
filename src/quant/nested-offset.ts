/** The mean of absmax, summed in float64 and rounded once: what double quantization takes off. absmax: f32[n], n ≥ 1. */
export function nestedOffsetOf(absmax: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < absmax.length; i++) sum += absmax[i]; // for…of takes eight times as long
  return Math.fround(sum / absmax.length);
}
