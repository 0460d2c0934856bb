import { copy } from "../../src/ops/copy.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(n: number) {
  return { name: `${n}`, params: { n }, inputs: { x: normals(n, 1) } };
}

export default {
  op: copy,
  cases: [sized(0), sized(1), sized(7), sized(65536), sized(131075)],
  reference: ({ x }) => ({ y: x.slice() }),
} satisfies OpTest;
