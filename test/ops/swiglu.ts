import { swiglu } from "../../src/ops/swiglu.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

export const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

export function swigluReference(gate: ArrayLike<number>, up: ArrayLike<number>): Float64Array {
  return Float64Array.from(gate, (g, i) => g * sigmoid(g) * up[i]);
}

function sized(n: number) {
  return { name: `${n}`, params: { n }, inputs: { gate: normals(n, 1, 3), up: normals(n, 2) } };
}

const extreme = Float32Array.of(-1e30, -200, -90, -88, -87, -20, 20, 88, 90, 200, 0, -0, NaN);

export default {
  op: swiglu,
  cases: [sized(0), sized(1), sized(3), sized(4), sized(1021), sized(16384), sized(40003),
    { name: "far out", params: { n: 13 }, inputs: { gate: extreme, up: new Float32Array(13).fill(1) } }],
  reference: ({ gate, up }) => ({ y: swigluReference(gate, up) }),
} satisfies OpTest;
