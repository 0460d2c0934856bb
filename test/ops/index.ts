// One line an op, in the order of src/ops/index.ts.
import rmsnorm from "./rmsnorm.ts";
import type { OpTest } from "../support/op-case.ts";

export const opTests: OpTest[] = [rmsnorm];
