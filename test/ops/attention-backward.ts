import { attentionBackward } from "../../src/ops/attention-backward.ts";
import { centralDifferences, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";
import { attentionReference, attentionRow, attentionSizes, type AttentionParams } from "./attention.ts";

type Values = ArrayLike<number>;

/** From q, k, v and dy alone: y and lse are the forward reference's. */
export function attentionBackwardReference(q: Values, k: Values, v: Values, dy: Values, p: AttentionParams) {
  const { batch, queryLength, keyLength, heads, kvHeads, headDim, scale } = p;
  const { y } = attentionReference(q, k, v, p);
  const dq = new Float64Array(q.length);
  const dk = new Float64Array(k.length);
  const dv = new Float64Array(v.length);
  for (let b = 0; b < batch; b++) {
    for (let h = 0; h < heads; h++) {
      const kvHead = Math.floor(h / (heads / kvHeads));
      for (let i = 0; i < queryLength; i++) {
        const { weights } = attentionRow(q, k, p, b, h, i);
        const at = ((b * queryLength + i) * heads + h) * headDim;
        let delta = 0;
        for (let d = 0; d < headDim; d++) delta += dy[at + d] * y[at + d];
        for (let j = 0; j < keyLength; j++) {
          const from = ((b * keyLength + j) * kvHeads + kvHead) * headDim;
          let dp = 0;
          for (let d = 0; d < headDim; d++) dp += dy[at + d] * v[from + d];
          const ds = scale * weights[j] * (dp - delta);
          for (let d = 0; d < headDim; d++) {
            dq[at + d] += ds * k[from + d];
            dk[from + d] += ds * q[at + d];
            dv[from + d] += weights[j] * dy[at + d];
          }
        }
      }
    }
  }
  return { dq, dk, dv };
}

function sized(batch: number, length: number, heads: number, kvHeads: number, headDim: number) {
  const { name, params, inputs } = attentionSizes(batch, length, length, heads, kvHeads, headDim);
  const { y, lse } = attentionReference(inputs.q, inputs.k, inputs.v, params);
  return { name, params, inputs: { ...inputs, y: Float32Array.from(y), lse: Float32Array.from(lse), dy: normals(y.length, 4) } };
}

export default {
  op: attentionBackward,
  cases: [sized(1, 1, 1, 1, 4), sized(2, 3, 2, 1, 8), sized(1, 50, 3, 1, 64), sized(2, 67, 4, 2, 12), sized(1, 33, 2, 2, 5), sized(1, 0, 1, 1, 4)],
  reference: ({ q, k, v, dy }, p) => attentionBackwardReference(q, k, v, dy, p as AttentionParams),
  gradients: () => {
    const { params, inputs: { q, k, v } } = attentionSizes(2, 5, 5, 4, 2, 6);
    const dy = normals(q.length, 4);
    const { dq, dk, dv } = attentionBackwardReference(q, k, v, dy, params);
    return [
      { name: "dq", analytic: dq, numeric: centralDifferences((u) => attentionReference(u, k, v, params).y, q, dy) },
      { name: "dk", analytic: dk, numeric: centralDifferences((u) => attentionReference(q, u, v, params).y, k, dy) },
      { name: "dv", analytic: dv, numeric: centralDifferences((u) => attentionReference(q, k, u, params).y, v, dy) },
    ];
  },
} satisfies OpTest;
