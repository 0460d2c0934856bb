import code from "../../gpu/embedding.wgsl";
import { defineOp } from "../op.ts";
import { elementwise } from "./gpu-lib.ts";

/**
 * y[row] = table[ids[row] − first]; rows whose id lies outside [first, first + vocab) keep what they hold,
 * so that a table may come in pieces. Ids lie in the whole table: whoever writes them sees to it.
 */
export const embedding = defineOp({
  name: "embedding",
  operands: [
    { name: "ids", dtype: "i32", access: "in", shape: ({ rows }) => [rows] },
    { name: "table", dtype: "f32", access: "in", shape: ({ vocab, n }) => [vocab, n] },
    { name: "y", dtype: "f32", access: "inout", shape: ({ rows, n }) => [rows, n] },
  ],
  params: [
    { name: "rows", type: "u32" },
    { name: "vocab", type: "u32" },
    { name: "n", type: "u32" },
    { name: "first", type: "u32" },
  ],
  tiles: ({ rows }) => Math.ceil(rows / 64),
  cost: ({ rows, n }) => ({ bytes: 8 * rows * n, flops: 0 }),
  agreement: "bits",
  devices: ["wasm", "webgpu"],
  gpu: { code, rows: "rows", passes: elementwise(({ rows, n }) => rows * n), split: { operand: "table", rows: ({ vocab }) => vocab, piece: (p, begin, end) => ({ ...p, first: p.first + begin, vocab: end - begin }) } },
});
