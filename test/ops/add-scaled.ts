import { addScaled } from "../../src/ops/add-scaled.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(n: number, alpha: number) {
  return { name: `${n}, alpha ${alpha}`, params: { n, alpha }, inputs: { x: normals(n, 1), y: normals(n, 2) } };
}

export default {
  op: addScaled,
  cases: [sized(0, 1), sized(1, 2), sized(7, -0.5), sized(65536, 1), sized(131075, 0.25)],
  reference: ({ x, y }, { alpha }) => ({ y: Float64Array.from(y, (value, i) => value + alpha * x[i]) }),
} satisfies OpTest;
