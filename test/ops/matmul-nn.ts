import { matmulNn } from "../../src/ops/matmul-nn.ts";
import { normals } from "../support/numbers.ts";
import { matmulCases, productReference } from "../support/matmul.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";

/** A piece of a wider matrix: what lies between its rows is not read. */
function piece(m: number, n: number, k: number, xStride: number): OpCase {
  const x = new Float32Array((m - 1) * xStride + k).fill(NaN);
  for (let row = 0; row < m; row++) x.set(normals(k, row + 1), row * xStride);
  return { name: `${m}×${n}×${k} of ${xStride}`, params: { m, n, k, xStride, accumulate: 1 }, inputs: { x, w: normals(n * k, 2), y: normals(m * n, 3) } };
}

function dense(x: ArrayLike<number>, m: number, k: number, xStride: number): number[] {
  return Array.from({ length: m * k }, (_, i) => x[Math.floor(i / k) * xStride + (i % k)]);
}

export default {
  op: matmulNn,
  cases: [...matmulCases().map((c): OpCase => ({ ...c, params: { ...c.params, xStride: c.params["k"] } })), piece(7, 20, 33, 40), piece(1, 5, 3, 100)],
  reference: ({ x, w, y }, { m, n, k, xStride, accumulate }) => ({ y: productReference("nn", dense(x, m, k, xStride), w, m, n, k, accumulate ? y : undefined) }),
} satisfies OpTest;
