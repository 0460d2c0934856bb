import { crossEntropy } from "../../src/ops/cross-entropy.ts";
import { centralDifferences, integers, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

export function crossEntropyReference(targets: ArrayLike<number>, logits: ArrayLike<number>, rows: number, vocab: number, scale: number) {
  const loss = new Float64Array(rows);
  const gradient = new Float64Array(rows * vocab);
  for (let row = 0; row < rows; row++) {
    if (targets[row] === -100) continue;
    let largest = -Infinity;
    for (let i = 0; i < vocab; i++) largest = Math.max(largest, logits[row * vocab + i]);
    let sum = 0;
    for (let i = 0; i < vocab; i++) sum += Math.exp(logits[row * vocab + i] - largest);
    const lse = largest + Math.log(sum);
    loss[row] = lse - logits[row * vocab + targets[row]];
    for (let i = 0; i < vocab; i++) {
      gradient[row * vocab + i] = (Math.exp(logits[row * vocab + i] - lse) - (i === targets[row] ? 1 : 0)) * scale;
    }
  }
  return { loss, gradient };
}

function sized(rows: number, vocab: number, backward: number, spread = 3) {
  const targets = integers(rows, 1, vocab).map((target, row) => (row % 3 === 1 ? -100 : target));
  return {
    name: `${rows}×${vocab}${backward ? ", backward" : ""}, spread ${spread}`,
    params: { rows, vocab, backward, scale: Math.fround(1 / 7) },
    inputs: { targets, logits: normals(rows * vocab, 2, spread) },
  };
}

export default {
  op: crossEntropy,
  cases: [sized(1, 1, 1), sized(3, 2, 0), sized(4, 7, 1), sized(5, 256, 0), sized(5, 259, 1), sized(2, 5001, 1), sized(3, 4096, 0), sized(3, 1030, 1, 200), sized(0, 4, 1)],
  reference: ({ targets, logits }, { rows, vocab, backward, scale }) => {
    const { loss, gradient } = crossEntropyReference(targets, logits, rows, vocab, scale);
    return { loss, logits: backward ? gradient : logits };
  },
  gradients: () => {
    const [rows, vocab] = [4, 6];
    const { targets, logits } = sized(rows, vocab, 1).inputs;
    const numeric = centralDifferences((z) => crossEntropyReference(targets, z, rows, vocab, 1).loss, logits, new Float64Array(rows).fill(0.5));
    return [{ name: "dlogits", analytic: crossEntropyReference(targets, logits, rows, vocab, 0.5).gradient, numeric }];
  },
} satisfies OpTest;
