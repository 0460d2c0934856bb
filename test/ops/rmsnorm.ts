import { rmsnorm } from "../../src/ops/rmsnorm.ts";
import type { OpTest } from "../support/op-case.ts";
import { normals } from "../support/numbers.ts";

export function rmsnormReference(x: ArrayLike<number>, weight: ArrayLike<number>, rows: number, n: number, eps: number): { y: Float64Array; rstd: Float64Array } {
  const y = new Float64Array(rows * n);
  const rstd = new Float64Array(rows);
  for (let row = 0; row < rows; row++) {
    let sum = 0;
    for (let i = 0; i < n; i++) sum += x[row * n + i] ** 2;
    rstd[row] = 1 / Math.sqrt(sum / n + eps);
    for (let i = 0; i < n; i++) y[row * n + i] = x[row * n + i] * rstd[row] * weight[i];
  }
  return { y, rstd };
}

function sized(rows: number, n: number, eps = 1e-5) {
  return { name: `${rows}×${n}`, params: { rows, n, eps }, inputs: { x: normals(rows * n, 1), weight: normals(n, 2) } };
}

export default {
  op: rmsnorm,
  cases: [sized(1, 1), sized(3, 7), sized(65, 192), sized(40, 576), sized(0, 8), { ...sized(2, 8), name: "zeros", inputs: { x: new Float32Array(16), weight: normals(8, 2) } }],
  reference: ({ x, weight }, { rows, n, eps }) => rmsnormReference(x, weight, rows, n, eps),
} satisfies OpTest;
