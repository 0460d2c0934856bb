import code from "../../gpu/dropout.wgsl";
import { ShapeError } from "../errors.ts";
import { defineOp } from "../op.ts";
import { GRID, PHILOX } from "./gpu-lib.ts";

/**
 * y = x ∘ mask / (1 − probability), added to y when `accumulate` (which is how the gradient joins others).
 *
 * Element (row, column) is kept when its uniform number of [0, 1) is at least `probability`. That number is word e & 3 of
 * Philox4x32-10 with key (key0, key1) and counter (step, sequence + ⌊row / rowsPerSequence⌋, e >> 2, 0), where
 * e = (row mod rowsPerSequence)·n + column: a function of the place in the sequence, however sequences are batched.
 * Source: Srivastava et al. 2014; src/random.ts.
 */
export const dropout = defineOp({
  name: "dropout",
  operands: [
    { name: "x", dtype: "f32", access: "in", shape: ({ rows, n }) => [rows, n] },
    { name: "y", dtype: "f32", access: "inout", shape: ({ rows, n }) => [rows, n] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "n", type: "u32" },
    { name: "probability", type: "f32" },
    { name: "key0", type: "u32" },
    { name: "key1", type: "u32" },
    { name: "step", type: "u32" },
    { name: "sequence", type: "u32" },
    { name: "rowsPerSequence", type: "u32" },
    { name: "accumulate", type: "u32" },
  ],
  check: ({ probability, rowsPerSequence }) => {
    if (!(probability >= 0 && probability < 1)) throw new ShapeError("dropout", "probability", { expected: "0 ≤ p < 1", got: probability });
    if (!rowsPerSequence) throw new ShapeError("dropout", "rowsPerSequence", { expected: "at least 1", got: rowsPerSequence });
  },
  tiles: ({ rows }) => Math.ceil(rows / 16),
  scratch: () => 64,
  cost: ({ rows, n, accumulate }) => ({ bytes: (8 + (accumulate ? 4 : 0)) * rows * n, flops: 2 * rows * n }),
  agreement: { relative: 1.2e-7, absolute: 0 },
  devices: ["wasm", "webgpu"],
  gpu: { code, passes: [{ entry: "main", lib: [GRID, ...PHILOX], workgroups: ({ rows, n, rowsPerSequence }) => Math.ceil((Math.ceil(rows / rowsPerSequence) * Math.ceil((rowsPerSequence * n) / 4)) / 256) }] },
});
