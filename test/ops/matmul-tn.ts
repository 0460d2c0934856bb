import { matmulTn } from "../../src/ops/matmul-tn.ts";
import { matmulCases, productReference } from "../support/matmul.ts";
import type { OpTest } from "../support/op-case.ts";

export default {
  op: matmulTn,
  cases: matmulCases(),
  reference: ({ x, w, y }, { m, n, k, accumulate }) => ({ y: productReference("tn", x, w, m, n, k, accumulate ? y : undefined) }),
} satisfies OpTest;
