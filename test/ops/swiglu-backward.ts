import { swigluBackward } from "../../src/ops/swiglu-backward.ts";
import { centralDifferences, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";
import { sigmoid, swigluReference } from "./swiglu.ts";

export function swigluBackwardReference(dy: ArrayLike<number>, gate: ArrayLike<number>, up: ArrayLike<number>) {
  const dgate = Float64Array.from(gate, (g, i) => dy[i] * up[i] * sigmoid(g) * (1 + g * (1 - sigmoid(g))));
  const dup = Float64Array.from(gate, (g, i) => dy[i] * g * sigmoid(g));
  return { gate: dgate, up: dup, y: swigluReference(gate, up) };
}

function sized(n: number) {
  return { name: `${n}`, params: { n }, inputs: { dy: normals(n, 3), gate: normals(n, 1, 3), up: normals(n, 2) } };
}

export default {
  op: swigluBackward,
  cases: [sized(0), sized(1), sized(6), sized(1023), sized(16384), sized(40001)],
  reference: ({ dy, gate, up }) => swigluBackwardReference(dy, gate, up),
  gradients: () => {
    const n = 9;
    const [gate, up, dy] = [normals(n, 1, 2), normals(n, 2), normals(n, 3)];
    const analytic = swigluBackwardReference(dy, gate, up);
    return [
      { name: "dgate", analytic: analytic.gate, numeric: centralDifferences((g) => swigluReference(g, up), gate, dy) },
      { name: "dup", analytic: analytic.up, numeric: centralDifferences((u) => swigluReference(gate, u), up, dy) },
    ];
  },
} satisfies OpTest;
