import { matmulNf4Nn } from "../../src/ops/matmul-nf4-nn.ts";
import { productReference } from "../support/matmul.ts";
import { normals } from "../support/numbers.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { weightsCase, weightsCases, weightsReference } from "../support/weights-4bit.ts";

/** A piece of a wider dy: what lies between its rows is not read. */
function piece(m: number, n: number, k: number, dyStride: number): OpCase {
  const { name, params, inputs, dtypes } = weightsCase("nn", { m, n, k, nested: 1, accumulate: 1 });
  const dy = new Float32Array((m - 1) * dyStride + n).fill(NaN);
  for (let row = 0; row < m; row++) dy.set(normals(n, row + 1), row * dyStride);
  return { name: `${name}, of ${dyStride}`, params: { ...params, dyStride }, inputs: { ...inputs, dy }, dtypes };
}

function dense(dy: ArrayLike<number>, { m, n, dyStride }: Record<string, number>): number[] {
  return Array.from({ length: m * n }, (_, i) => dy[Math.floor(i / n) * dyStride + (i % n)]);
}

export default {
  op: matmulNf4Nn,
  cases: [...weightsCases("nn"), piece(7, 33, 20, 40), piece(5, 64, 96, 128)],
  reference: (inputs, p) => ({
    dx: productReference("nn", dense(inputs["dy"], p), weightsReference(inputs, p), p["m"], p["k"], p["n"], p["accumulate"] ? inputs["dx"] : undefined),
  }),
} satisfies OpTest;
