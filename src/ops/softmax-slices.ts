import code from "../../gpu/softmax-slices.wgsl";
import { ShapeError } from "../errors.ts";
import { defineOp } from "../op.ts";
import { EXP, rowwise } from "./gpu-lib.ts";

/** Which columns a call has, of both halves. */
export const SLICE_PARAMS = [
  { name: "rows", type: "u32" },
  { name: "n", type: "u32" },
  { name: "first", type: "u32" },
  { name: "slice", type: "u32" },
  { name: "vocab", type: "u32" },
] as const;

/**
 * The softmax of logits whose columns may come slice by slice, first half: z ← e^(z − m), m the largest of its row in
 * its slice, (m, Σ e^(z − m)) into that slice's place of `partials`, and z of the row's target into `wanted`.
 * A call has the columns [first, first + n), whole slices of `slice` columns from the first on; only the slice at the
 * end of the vocabulary may be narrower. How many a call has changes no bit. Rows without a target (−100, or any other
 * number outside [0, vocab)) stay as they are. Logits are finite. `cross-entropy` is the second half.
 *
 * e^… is summed in f32 over 1024 logits at a time, those sums in f64.
 */
export const softmaxSlices = defineOp({
  name: "softmax-slices",
  operands: [
    { name: "targets", dtype: "i32", access: "in", shape: ({ rows }) => [rows] },
    { name: "logits", dtype: "f32", access: "inout", shape: ({ rows, n }) => [rows, n] },
    { name: "partials", dtype: "f32", access: "inout", shape: ({ rows, vocab, slice }) => [rows, slicesOf(vocab, slice), 2] },
    { name: "wanted", dtype: "f32", access: "inout", shape: ({ rows }) => [rows] },
  ],
  params: SLICE_PARAMS,
  check: checkSlices,
  tiles: ({ rows }) => rows,
  cost: ({ rows, n }) => ({ bytes: 8 * rows * n, flops: 20 * rows * n }),
  agreement: { relative: 3e-7, absolute: 1e-8 },
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: rowwise(({ rows, n, slice }) => rows * slicesOf(n, slice), EXP) },
});

export const slicesOf = (columns: number, slice: number): number => Math.ceil(columns / Math.max(1, slice));

/** @throws ShapeError unless a call's columns are whole slices. */
export function checkSlices({ n, first, slice, vocab }: Readonly<Record<"n" | "first" | "slice" | "vocab", number>>): void {
  if (slice === 0 || first % slice !== 0) throw new ShapeError("softmax", "first", { expected: `a multiple of the slice of ${slice}`, got: first });
  if (first + n > vocab || (n % slice !== 0 && first + n !== vocab)) throw new ShapeError("softmax", "n", { expected: `whole slices of ${slice} of ${vocab} columns`, got: `${n} from ${first} on` });
}
