import { rmsnormBackward } from "../../src/ops/rmsnorm-backward.ts";
import { centralDifferences, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";
import { rmsnormReference } from "./rmsnorm.ts";

const EPS = 1e-5;

export function rmsnormBackwardReference(
  dy: ArrayLike<number>, x: ArrayLike<number>, weight: ArrayLike<number>, rstd: ArrayLike<number>, rows: number, n: number, add?: ArrayLike<number>,
): Float64Array {
  const dx = new Float64Array(rows * n);
  for (let row = 0; row < rows; row++) {
    let mean = 0;
    for (let i = 0; i < n; i++) mean += (dy[row * n + i] * weight[i] * x[row * n + i]) / n;
    for (let i = 0; i < n; i++) {
      const e = row * n + i;
      dx[e] = (add ? add[e] : 0) + rstd[row] * dy[e] * weight[i] - x[e] * rstd[row] ** 3 * mean;
    }
  }
  return dx;
}

function sized(rows: number, n: number, accumulate: number) {
  const x = normals(rows * n, 1);
  const weight = normals(n, 2);
  const rstd = Float32Array.from(rmsnormReference(x, weight, rows, n, EPS).rstd);
  const dx = accumulate ? normals(rows * n, 4) : new Float32Array(rows * n).fill(NaN);
  return { name: `${rows}×${n}${accumulate ? ", accumulate" : ""}`, params: { rows, n, accumulate }, inputs: { dy: normals(rows * n, 3), x, weight, rstd, dx } };
}

export default {
  op: rmsnormBackward,
  cases: [sized(1, 1, 0), sized(3, 7, 1), sized(5, 6, 0), sized(65, 192, 0), sized(40, 576, 1), sized(0, 8, 0)],
  reference: ({ dy, x, weight, rstd, dx }, { rows, n, accumulate }) => ({
    dx: rmsnormBackwardReference(dy, x, weight, rstd, rows, n, accumulate ? dx : undefined),
  }),
  gradients: () => {
    const [rows, n] = [3, 7];
    const x = normals(rows * n, 1);
    const weight = normals(n, 2);
    const dy = normals(rows * n, 3);
    const { rstd } = rmsnormReference(x, weight, rows, n, EPS);
    return [{
      name: "dx",
      analytic: rmsnormBackwardReference(dy, x, weight, rstd, rows, n),
      numeric: centralDifferences((v) => rmsnormReference(v, weight, rows, n, EPS).y, x, dy),
    }];
  },
} satisfies OpTest;
