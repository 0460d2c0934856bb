import type { TypedArray } from "../../src/dtype.ts";
import type { Op } from "../../src/op.ts";

/** What a reference sees and returns: plain arrays by operand name. */
export type Arrays = Record<string, TypedArray>;

export interface OpCase {
  name: string;
  params: Record<string, number>;
  /** Data of every operand with access `in` or `inout`. */
  inputs: Arrays;
  /** dtype of an operand that allows several; by default the first. */
  dtypes?: Record<string, string>;
}

/** Analytic against numeric gradient of one input, from the plain references alone, in f64. */
export interface GradientCheck {
  name: string;
  analytic: ArrayLike<number>;
  numeric: ArrayLike<number>;
}

/** What `test/ops/<name>.ts` exports as default. */
export interface OpTest {
  // eslint-disable-next-line @typescript-eslint/no-explicit-any
  op: Op<any, any>;
  cases: OpCase[];
  /** Plain loops; returns every operand with access `out` or `inout`. Float ops compute in f64. */
  reference(inputs: Arrays, params: Record<string, number>): Record<string, ArrayLike<number>>;
  /** For backward ops. */
  gradients?(): GradientCheck[];
}
