import { embedding } from "../../src/ops/embedding.ts";
import { integers, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(rows: number, vocab: number, n: number) {
  return { name: `${rows} of ${vocab}×${n}`, params: { rows, vocab, n }, inputs: { ids: integers(rows, 1, vocab), table: normals(vocab * n, 2) } };
}

export default {
  op: embedding,
  cases: [sized(1, 1, 1), sized(7, 5, 3), sized(130, 40, 64), sized(0, 3, 4)],
  reference: ({ ids, table }, { rows, n }) => {
    const y = new Float32Array(rows * n);
    for (let row = 0; row < rows; row++) for (let i = 0; i < n; i++) y[row * n + i] = table[ids[row] * n + i];
    return { y };
  },
} satisfies OpTest;
