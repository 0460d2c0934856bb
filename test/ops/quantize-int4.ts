import { quantizeInt4 } from "../../src/ops/quantize-int4.ts";
import type { OpTest } from "../support/op-case.ts";
import { integerCases, packNibbles, quantizeIntegers } from "./integers.ts";

export default {
  op: quantizeInt4,
  cases: integerCases,
  reference: ({ x }, { n, blocksize }) => {
    const { q, absmax } = quantizeIntegers(x, n, blocksize, 7);
    return { packed: packNibbles(q), absmax };
  },
} satisfies OpTest;
