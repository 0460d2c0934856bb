import { softmaxSlices } from "../../src/ops/softmax-slices.ts";
import { integers, normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

export interface Slicing { rows: number; n: number; first: number; slice: number; vocab: number }

/** In f64: what becomes of logits f64[rows, n], partials and wanted. */
export function softmaxSlicesReference(targets: ArrayLike<number>, logits: Float64Array, partials: Float64Array, wanted: Float64Array, { rows, n, first, slice, vocab }: Slicing) {
  const slices = Math.ceil(vocab / slice);
  for (let row = 0; row < rows; row++) {
    if (targets[row] < 0 || targets[row] >= vocab) continue;
    for (let from = 0; from < n; from += slice) {
      const z = logits.subarray(row * n + from, row * n + Math.min(from + slice, n));
      const largest = z.reduce((a, b) => Math.max(a, b));
      let sum = 0;
      z.forEach((value, i) => {
        if (first + from + i === targets[row]) wanted[row] = value;
        sum += z[i] = Math.exp(value - largest);
      });
      const part = 2 * (row * slices + (first + from) / slice);
      partials[part] = largest;
      partials[part + 1] = sum;
    }
  }
  return { logits, partials, wanted };
}

function sized(rows: number, vocab: number, slice: number, first = 0, n = vocab, spread = 3) {
  const slices = Math.ceil(vocab / slice);
  return {
    name: `${rows}×${n} of ${vocab} from ${first} by ${slice}, spread ${spread}`,
    params: { rows, n, first, slice, vocab },
    inputs: {
      targets: integers(rows, 1, vocab).map((target, row) => (row % 3 === 1 ? -100 : target)),
      logits: normals(rows * n, 2, spread), partials: normals(rows * slices * 2, 3), wanted: normals(rows, 4),
    },
  };
}

export default {
  op: softmaxSlices,
  cases: [sized(1, 1, 1), sized(3, 7, 3), sized(4, 256, 256), sized(5, 5001, 1280), sized(6, 64, 16, 32, 16), sized(3, 1030, 400, 800, 230), sized(3, 1030, 515, 0, 515, 200), sized(2, 4096, 8192), sized(0, 4, 2)],
  reference: ({ targets, logits, partials, wanted }, params) =>
    softmaxSlicesReference(targets, Float64Array.from(logits), Float64Array.from(partials), Float64Array.from(wanted), params as unknown as Slicing),
} satisfies OpTest;
