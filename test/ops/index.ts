// One line an op, in the order of src/ops/index.ts.
import dequantize4bit from "./dequantize-4bit.ts";
import rmsnorm from "./rmsnorm.ts";
import type { OpTest } from "../support/op-case.ts";

export const opTests: OpTest[] = [
  rmsnorm,
  dequantize4bit,
];
