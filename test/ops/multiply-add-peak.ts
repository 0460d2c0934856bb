import { multiplyAddPeak } from "../../src/ops/multiply-add-peak.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(n: number, rounds: number) {
  return { name: `${n} × ${rounds} rounds`, params: { n, rounds }, inputs: {} };
}

/** Four times each of the chains, step by step in f32. */
function sumOfChains(rounds: number): number {
  let sum = 0;
  for (let j = 0; j < 12; j++) {
    let s = j / 16;
    for (let i = 0; i < rounds; i++) s = Math.fround(Math.fround(s * 0.5) + 0.5);
    sum += 4 * s;
  }
  return sum;
}

export default {
  op: multiplyAddPeak,
  cases: [sized(0, 1), sized(1, 0), sized(3, 1), sized(5, 14), sized(1030, 100)],
  reference: (_, { n, rounds }) => ({ y: new Float32Array(n).fill(sumOfChains(rounds)) }),
} satisfies OpTest;
