import { attention } from "../../src/ops/attention.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

type Values = ArrayLike<number>;
export type AttentionParams = Record<"batch" | "queryLength" | "keyLength" | "heads" | "kvHeads" | "headDim" | "scale", number>;

/** Probabilities of one query of one head over all keys (zeros where masked), and lse. */
export function attentionRow(q: Values, k: Values, p: AttentionParams, b: number, h: number, i: number): { weights: Float64Array; lse: number } {
  const { queryLength, keyLength, heads, kvHeads, headDim, scale } = p;
  const kvHead = Math.floor(h / (heads / kvHeads));
  const scores = new Float64Array(keyLength).fill(-Infinity);
  for (let j = 0; j <= i + keyLength - queryLength; j++) {
    scores[j] = 0;
    for (let d = 0; d < headDim; d++) {
      scores[j] += scale * q[((b * queryLength + i) * heads + h) * headDim + d] * k[((b * keyLength + j) * kvHeads + kvHead) * headDim + d];
    }
  }
  const largest = Math.max(...scores);
  let sum = 0;
  for (const score of scores) sum += Math.exp(score - largest);
  const lse = largest + Math.log(sum);
  return { weights: scores.map((score) => Math.exp(score - lse)), lse };
}

export function attentionReference(q: Values, k: Values, v: Values, p: AttentionParams): { y: Float64Array; lse: Float64Array } {
  const { batch, queryLength, keyLength, heads, kvHeads, headDim } = p;
  const y = new Float64Array(batch * queryLength * heads * headDim);
  const lse = new Float64Array(batch * heads * queryLength);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h / (heads / kvHeads));
      for (let i = 0; i < queryLength; i++) {
        const row = attentionRow(q, k, p, b, h, i);
        lse[(b * heads + h) * queryLength + i] = row.lse;
        for (let j = 0; j < keyLength; j++) {
          for (let d = 0; d < headDim; d++) {
            y[((b * queryLength + i) * heads + h) * headDim + d] += row.weights[j] * v[((b * keyLength + j) * kvHeads + kvHead) * headDim + d];
          }
        }
      }
    }
  }
  return { y, lse };
}

export function attentionSizes(batch: number, queryLength: number, keyLength: number, heads: number, kvHeads: number, headDim: number) {
  const scale = 1 / Math.sqrt(headDim);
  return {
    name: `batch ${batch}, ${queryLength} of ${keyLength}, heads ${heads}/${kvHeads} × ${headDim}`,
    params: { batch, queryLength, keyLength, heads, kvHeads, headDim, scale: Math.fround(scale) },
    inputs: {
      q: normals(batch * queryLength * heads * headDim, 1),
      k: normals(batch * keyLength * kvHeads * headDim, 2),
      v: normals(batch * keyLength * kvHeads * headDim, 3),
    },
  };
}

export default {
  op: attention,
  cases: [
    attentionSizes(1, 1, 1, 1, 1, 4), attentionSizes(2, 3, 3, 2, 1, 8), attentionSizes(1, 1, 37, 3, 1, 64), attentionSizes(1, 5, 30, 4, 2, 12),
    attentionSizes(2, 50, 50, 3, 1, 64), attentionSizes(1, 13, 13, 2, 2, 5), attentionSizes(1, 2, 1030, 2, 1, 16), attentionSizes(1, 0, 4, 1, 1, 4),
  ],
  reference: ({ q, k, v }, p) => attentionReference(q, k, v, p as AttentionParams),
} satisfies OpTest;
