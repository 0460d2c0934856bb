import { embedding } from "../../src/ops/embedding.ts";
import { integers, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(rows: number, vocab: number, n: number, first = 0, ids = integers(rows, 1, vocab)) {
  return { name: `${rows} of ${vocab}×${n} from ${first}`, params: { rows, vocab, n, first }, inputs: { ids, table: normals(vocab * n, 2), y: normals(rows * n, 3) } };
}

export default {
  op: embedding,
  cases: [sized(1, 1, 1), sized(7, 5, 3), sized(130, 40, 64), sized(0, 3, 4), sized(60, 9, 5, 20, integers(60, 1, 40))],
  reference: ({ ids, table, y }, { rows, vocab, n, first }) => {
    for (let row = 0; row < rows; row++) {
      const id = ids[row] - first;
      if (id >= 0 && id < vocab) for (let i = 0; i < n; i++) y[row * n + i] = table[id * n + i];
    }
    return { y };
  },
} satisfies OpTest;
