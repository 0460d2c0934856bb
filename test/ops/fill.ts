import { fill } from "../../src/ops/fill.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(n: number, value: number) {
  return { name: `${n} × ${value}`, params: { n, value }, inputs: {} };
}

export default {
  op: fill,
  cases: [sized(0, 1), sized(1, -0), sized(7, 2.5), sized(65536, 0), sized(131075, 1)],
  reference: (_, { n, value }) => ({ y: new Float32Array(n).fill(value) }),
} satisfies OpTest;
