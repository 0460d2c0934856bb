import { embedding4bit } from "../../src/ops/embedding-4bit.ts";
import { integers, normals } from "../support/numbers.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { randomWeights, weightsReference } from "../support/weights-4bit.ts";

function sized(rows: number, n: number, k: number, { first = 0, blocksize = 64, nested = 0, round = 0, ids = integers(rows, 1, n) } = {}): OpCase {
  const params = { rows, n, k, first, blocksize, nested, nestedOffset: 0.37, round };
  return {
    name: `${rows} of ${n}×${k} from ${first}, blocksize ${blocksize}${nested ? ", nested" : ""}, round ${round}`, params,
    inputs: { ids, ...randomWeights(params, 2), y: normals(rows * k, 3) }, dtypes: { absmax: nested ? "u8" : "f32" },
  };
}

export default {
  op: embedding4bit,
  cases: [
    sized(1, 1, 1), sized(7, 5, 3, { blocksize: 32 }), sized(130, 40, 64), sized(0, 3, 4), sized(70, 300, 96, { nested: 1 }), sized(9, 11, 37, { nested: 1, round: 1, blocksize: 32 }),
    sized(5, 6, 2100, { round: 2, blocksize: 4096 }), sized(60, 9, 5, { first: 20, ids: integers(60, 1, 40) }),
  ],
  // The table as floats, then its rows.
  reference: (inputs, p) => {
    const table = weightsReference(inputs, p);
    const y = Float32Array.from(inputs["y"]);
    for (let row = 0; row < p["rows"]; row++) {
      const id = inputs["ids"][row] - p["first"];
      if (id >= 0 && id < p["n"]) y.set(table.subarray(id * p["k"], (id + 1) * p["k"]), row * p["k"]);
    }
    return { y };
  },
} satisfies OpTest;
