import type { BenchCase } from "./bench-case.ts";
import { timedOp } from "./op-case.ts";
import { PRODUCTS, products, type Shape } from "./shapes.ts";

/** Rows up to which a product is about reading the matrix, not about multiplying. */
const FEW_ROWS = 4;

/** Products of the sizes given, or of those in SmolLM2-135M. */
export function matmulGroups(sizes: readonly (readonly number[])[]): BenchCase[][] {
  const groups = sizes.length ? sizes.map(([m, n, k]) => products(m, n, k)) : PRODUCTS;
  return groups.map((group) => group.map(caseOf));
}

function caseOf({ op, params, note }: Shape): BenchCase {
  const { m } = params;
  return { op: op.name, shape: note, limit: m > FEW_ROWS ? "multiply-add" : "copy", prepare: (device) => timedOp(device, op, params) };
}
