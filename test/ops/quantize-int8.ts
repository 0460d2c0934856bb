import { quantizeInt8 } from "../../src/ops/quantize-int8.ts";
import type { OpTest } from "../support/op-case.ts";
import { integerCases, quantizeIntegers } from "./integers.ts";

export default {
  op: quantizeInt8,
  cases: integerCases,
  reference: ({ x }, { n, blocksize }) => ({ ...quantizeIntegers(x, n, blocksize, 127) }),
} satisfies OpTest;
