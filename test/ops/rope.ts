import { rope } from "../../src/ops/rope.ts";
import { centralDifferences, integers, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

interface Tables { positions: ArrayLike<number>; cos: ArrayLike<number>; sin: ArrayLike<number> }

export function ropeReference(x: ArrayLike<number>, { positions, cos, sin }: Tables, rows: number, heads: number, headDim: number, sign: number): Float64Array {
  const y = Float64Array.from(x);
  const half = headDim / 2;
  for (let row = 0; row < rows; row++) {
    for (let head = 0; head < heads; head++) {
      for (let i = 0; i < half; i++) {
        const low = (row * heads + head) * headDim + i;
        const c = cos[positions[row] * half + i];
        const s = sin[positions[row] * half + i] * sign;
        y[low] = x[low] * c - x[low + half] * s;
        y[low + half] = x[low + half] * c + x[low] * s;
      }
    }
  }
  return y;
}

function tables(rows: number, headDim: number, maxPositions: number) {
  const angles = normals((maxPositions * headDim) / 2, 1, 10);
  return { positions: integers(rows, 2, maxPositions), cos: angles.map(Math.cos), sin: angles.map(Math.sin) };
}

function sized(rows: number, heads: number, kvHeads: number, headDim: number, sign: number) {
  const maxPositions = 50;
  return {
    name: `${rows}×${heads}+${kvHeads}×${headDim}, sign ${sign}`,
    params: { rows, heads, kvHeads, headDim, maxPositions, sign },
    inputs: { ...tables(rows, headDim, maxPositions), q: normals(rows * heads * headDim, 3), k: normals(rows * kvHeads * headDim, 5) },
  };
}

export default {
  op: rope,
  cases: [sized(1, 1, 1, 2, 1), sized(3, 2, 1, 6, -1), sized(40, 9, 3, 64, 1), sized(5, 3, 3, 64, -1), sized(7, 2, 1, 20, 1), sized(0, 1, 1, 8, 1)],
  reference: ({ positions, cos, sin, q, k }, { rows, heads, kvHeads, headDim, sign }) => ({
    q: ropeReference(q, { positions, cos, sin }, rows, heads, headDim, sign),
    k: ropeReference(k, { positions, cos, sin }, rows, kvHeads, headDim, sign),
  }),
  gradients: () => {
    const [rows, heads, headDim] = [3, 2, 6];
    const t = tables(rows, headDim, 8);
    const dy = normals(rows * heads * headDim, 4);
    const numeric = centralDifferences((v) => ropeReference(v, t, rows, heads, headDim, 1), normals(rows * heads * headDim, 3), dy);
    return [{ name: "dx", analytic: ropeReference(dy, t, rows, heads, headDim, -1), numeric }];
  },
} satisfies OpTest;
