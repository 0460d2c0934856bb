import { dropout } from "../../src/ops/dropout.ts";
import { philox4x32, uniformOf } from "../../src/random.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(rows: number, n: number, rowsPerSequence: number, probability: number, accumulate: number, sequence = 5) {
  return {
    name: `${rows}×${n}, ${rowsPerSequence} rows a sequence, p ${probability}${accumulate ? ", accumulate" : ""}`,
    params: { rows, n, probability: Math.fround(probability), key0: 0xdeadbeef, key1: 0x9abcdef0, step: 3, sequence, rowsPerSequence, accumulate },
    inputs: { x: normals(rows * n, 1), y: accumulate ? normals(rows * n, 2) : new Float32Array(rows * n).fill(NaN) },
  };
}

export default {
  op: dropout,
  cases: [sized(1, 1, 1, 0.5, 0), sized(7, 5, 3, 0.5, 0), sized(40, 64, 16, 0.1, 1), sized(20, 6, 20, 0, 0), sized(3, 9, 2, 0.9, 1, 0xffffffff), sized(6, 36, 3, 0.3, 0), sized(0, 4, 1, 0.5, 0)],
  reference: ({ x, y }, { rows, n, probability, key0, key1, step, sequence, rowsPerSequence, accumulate }) => {
    const out = new Float64Array(rows * n);
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < n; i++) {
        const element = (row % rowsPerSequence) * n + i;
        const counter = sequence + Math.floor(row / rowsPerSequence);
        const words = philox4x32([step, counter >>> 0, Math.floor(element / 4), 0], [key0, key1]);
        const kept = uniformOf(words[element % 4]) >= probability;
        out[row * n + i] = (kept ? x[row * n + i] / (1 - probability) : 0) + (accumulate ? y[row * n + i] : 0);
      }
    }
    return { y: out };
  },
} satisfies OpTest;
