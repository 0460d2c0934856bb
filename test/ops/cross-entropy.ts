import { crossEntropy } from "../../src/ops/cross-entropy.ts";
import { centralDifferences, integers, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";
import { softmaxSlicesReference, type Slicing } from "./softmax-slices.ts";

const exponent = (a: number, b: number): number => Math.exp(a - b);

/** In f64; logits hold e^(z − largest of the slice). */
function crossEntropyReference(targets: ArrayLike<number>, partials: ArrayLike<number>, wanted: ArrayLike<number>, logits: ArrayLike<number>, { rows, n, first, slice, vocab }: Slicing, scale: number) {
  const slices = Math.ceil(vocab / slice);
  const loss = new Float64Array(rows);
  const gradient = new Float64Array(rows * n);
  for (let row = 0; row < rows; row++) {
    if (targets[row] === -100) continue;
    const part = (i: number, what: number): number => partials[2 * (row * slices + i) + what];
    let largest = -Infinity;
    for (let i = 0; i < slices; i++) largest = Math.max(largest, part(i, 0));
    let sum = 0;
    for (let i = 0; i < slices; i++) sum += exponent(part(i, 0), largest) * part(i, 1);
    loss[row] = Math.log(sum) + largest - wanted[row];
    for (let i = 0; i < n; i++) {
      const factor = exponent(part(Math.floor((first + i) / slice), 0), largest) / sum;
      gradient[row * n + i] = (logits[row * n + i] * factor - (first + i === targets[row] ? 1 : 0)) * scale;
    }
  }
  return { loss, logits: gradient };
}

/** Plainly: the logarithm of the softmax of whole rows. */
function plainLoss(targets: ArrayLike<number>, logits: ArrayLike<number>, rows: number, vocab: number): number[] {
  return Array.from({ length: rows }, (_, row) => {
    if (targets[row] === -100) return 0;
    let sum = 0;
    for (let i = 0; i < vocab; i++) sum += Math.exp(logits[row * vocab + i]);
    return Math.log(sum) - logits[row * vocab + targets[row]];
  });
}

function sized(rows: number, vocab: number, slice: number, first = 0, n = vocab, spread = 3) {
  const targets = integers(rows, 1, vocab).map((target, row) => (row % 3 === 1 ? -100 : target));
  const params = { rows, n, first, slice, vocab };
  const whole = softmaxSlicesReference(targets, Float64Array.from(normals(rows * vocab, 2, spread)), new Float64Array(rows * Math.ceil(vocab / slice) * 2), new Float64Array(rows), { ...params, first: 0, n: vocab });
  const logits = Float32Array.from({ length: rows * n }, (_, i) => whole.logits[Math.floor(i / n) * vocab + first + (i % n)]);
  return {
    name: `${rows}×${n} of ${vocab} from ${first} by ${slice}, spread ${spread}`,
    params: { ...params, scale: Math.fround(1 / 7) },
    inputs: { targets, partials: Float32Array.from(whole.partials), wanted: Float32Array.from(whole.wanted), logits },
  };
}

export default {
  op: crossEntropy,
  cases: [sized(1, 1, 1), sized(3, 2, 1, 0, 0), sized(4, 7, 3), sized(5, 256, 256, 0, 0), sized(5, 259, 64), sized(2, 5001, 1280), sized(3, 4096, 8, 1024, 512), sized(3, 1030, 400, 800, 230), sized(3, 1030, 515, 0, 515, 200), sized(0, 4, 2)],
  reference: ({ targets, partials, wanted, logits }, params) => crossEntropyReference(targets, partials, wanted, logits, params as unknown as Slicing, params.scale),
  gradients: () => {
    const sizes = { rows: 4, n: 6, first: 0, slice: 4, vocab: 6 };
    const targets = Int32Array.of(5, -100, 0, 3);
    const z = normals(24, 2, 3);
    const numeric = centralDifferences((at) => plainLoss(targets, at, 4, 6), z, new Float64Array(4).fill(0.5));
    const { logits, partials, wanted } = softmaxSlicesReference(targets, Float64Array.from(z), new Float64Array(16), new Float64Array(4), sizes);
    const got = crossEntropyReference(targets, partials, wanted, logits, sizes, 0.5);
    return [{ name: "dlogits", analytic: got.logits, numeric }, { name: "loss", analytic: got.loss, numeric: plainLoss(targets, z, 4, 6) }];
  },
} satisfies OpTest;
