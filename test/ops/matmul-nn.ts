import { matmulNn } from "../../src/ops/matmul-nn.ts";
import { matmulCases, productReference } from "../support/matmul.ts";
import type { OpTest } from "../support/op-case.ts";

export default {
  op: matmulNn,
  cases: matmulCases(),
  reference: ({ x, w, y }, { m, n, k, accumulate }) => ({ y: productReference("nn", x, w, m, n, k, accumulate ? y : undefined) }),
} satisfies OpTest;
