import { clipScale } from "../../src/ops/clip-scale.ts";
import { normals } from "../support/numbers.ts";
import type { OpTest } from "../support/op-case.ts";

function sized(count: number, maxNorm: number) {
  return { name: `${count} partials, maxNorm ${maxNorm}`, params: { count, maxNorm }, inputs: { partials: normals(count, 1).map((v) => v * v) } };
}

export default {
  op: clipScale,
  cases: [sized(1, 1), sized(37, 1), sized(37, 100), sized(37, 0), sized(0, 1)],
  reference: ({ partials }, { maxNorm }) => {
    let total = 0;
    for (let i = 0; i < partials.length; i++) total += partials[i];
    const norm = Math.sqrt(total);
    return { clip: [norm, maxNorm > 0 ? Math.min(1, maxNorm / (norm + 1e-6)) : 1] };
  },
} satisfies OpTest;
