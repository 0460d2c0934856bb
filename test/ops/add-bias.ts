import { addBias } from "../../src/ops/add-bias.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(rows: number, n: number) {
  return { name: `${rows}×${n}`, params: { rows, n }, inputs: { bias: normals(n, 1), y: normals(rows * n, 2) } };
}

export default {
  op: addBias,
  cases: [sized(1, 1), sized(3, 7), sized(130, 24), sized(0, 8)],
  reference: ({ bias, y }, { n }) => ({ y: Float32Array.from(y, (value, i) => value + bias[i % n]) }),
} satisfies OpTest;
