import { scale } from "../../src/ops/scale.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(n: number, alpha: number) {
  return { name: `${n}, alpha ${alpha}`, params: { n, alpha }, inputs: { y: normals(n, 1) } };
}

export default {
  op: scale,
  cases: [sized(0, 1), sized(1, 2), sized(7, -0.5), sized(65536, 0.25), sized(131075, 3)],
  reference: ({ y }, { alpha }) => ({ y: Float32Array.from(y, (value) => value * alpha) }),
} satisfies OpTest;
