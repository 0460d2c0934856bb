/** How positions beyond the trained length are stretched. Source: Transformers' modeling_rope_utils. */
export interface RopeScaling {
  readonly type: "linear" | "llama3";
  readonly factor: number;
  readonly lowFreqFactor?: number;
  readonly highFreqFactor?: number;
  readonly originalMaxPositionEmbeddings?: number;
}

const f32 = Math.fround;

/** θ_i = base^(−2i/d), rescaled; every step rounded to float32 as PyTorch does. */
export function inverseFrequencies(headDim: number, theta: number, scaling?: RopeScaling): Float32Array {
  return Float32Array.from({ length: headDim / 2 }, (_, i) => {
    const frequency = f32(1 / f32(Math.pow(theta, f32((2 * i) / headDim))));
    if (!scaling) return frequency;
    return scaling.type === "linear" ? f32(frequency / scaling.factor) : llama3(frequency, scaling);
  });
}

function llama3(frequency: number, s: RopeScaling): number {
  const low = s.lowFreqFactor ?? 1;
  const high = s.highFreqFactor ?? 4;
  const original = s.originalMaxPositionEmbeddings ?? 8192;
  const wavelength = f32((2 * Math.PI) / frequency);
  if (wavelength < original / high) return frequency;
  if (wavelength > original / low) return f32(frequency / s.factor);
  const smooth = f32(f32(f32(original / wavelength) - low) / f32(high - low));
  return f32(f32(f32(f32(1 - smooth) * frequency) / s.factor) + f32(smooth * frequency));
}

/** cos and sin of position · θ_i, each f32[positions, headDim / 2]; one table for every device. */
export function ropeTables(positions: number, headDim: number, theta: number, scaling?: RopeScaling): { cos: Float32Array; sin: Float32Array } {
  const frequencies = inverseFrequencies(headDim, theta, scaling);
  const half = headDim / 2;
  const cos = new Float32Array(positions * half);
  const sin = new Float32Array(positions * half);
  for (let p = 0; p < positions; p++) {
    for (let i = 0; i < half; i++) {
      const angle = f32(p * frequencies[i]);
      cos[p * half + i] = Math.cos(angle);
      sin[p * half + i] = Math.sin(angle);
    }
  }
  return { cos, sin };
}
