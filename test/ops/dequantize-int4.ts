import { dequantizeInt4 } from "../../src/ops/dequantize-int4.ts";
import type { OpTest } from "../support/op-case.ts";
import { dequantizeIntegers, integerCases, packNibbles, quantizeIntegers, unpackNibbles } from "./integers.ts";

export default {
  op: dequantizeInt4,
  cases: integerCases.map((item) => {
    const { q, absmax } = quantizeIntegers(item.inputs.x, item.params.n, item.params.blocksize, 7);
    return { ...item, inputs: { packed: packNibbles(q), absmax } };
  }),
  reference: ({ packed, absmax }, { n, blocksize }) => ({ y: dequantizeIntegers(unpackNibbles(packed, n), absmax, blocksize, 7) }),
} satisfies OpTest;
