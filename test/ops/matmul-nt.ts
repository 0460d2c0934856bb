import { matmulNt } from "../../src/ops/matmul-nt.ts";
import { gradientsOfProduct, matmulCases, productReference } from "../support/matmul.ts";
import type { OpTest } from "../support/op-case.ts";

export default {
  op: matmulNt,
  cases: matmulCases(),
  reference: ({ x, w, y }, { m, n, k, accumulate }) => ({ y: productReference("nt", x, w, m, n, k, accumulate ? y : undefined) }),
  gradients: () => gradientsOfProduct(),
} satisfies OpTest;
