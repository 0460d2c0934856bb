import { ELEMENTS_PER_PARTIAL, sumSquares } from "../../src/ops/sum-squares.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(n: number) {
  return { name: `${n}`, params: { n }, inputs: { x: normals(n, 1) } };
}

export default {
  op: sumSquares,
  cases: [sized(0), sized(1), sized(7), sized(65536), sized(131075)],
  reference: ({ x }) => {
    const partials = new Float64Array(Math.ceil(x.length / ELEMENTS_PER_PARTIAL));
    for (let i = 0; i < x.length; i++) partials[Math.floor(i / ELEMENTS_PER_PARTIAL)] += x[i] ** 2;
    return { partials };
  },
} satisfies OpTest;
