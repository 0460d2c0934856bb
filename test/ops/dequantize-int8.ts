import { dequantizeInt8 } from "../../src/ops/dequantize-int8.ts";
import type { OpTest } from "../support/op-case.ts";
import { dequantizeIntegers, integerCases, quantizeIntegers } from "./integers.ts";

export default {
  op: dequantizeInt8,
  cases: integerCases.map((item) => ({ ...item, inputs: quantizeIntegers(item.inputs.x, item.params.n, item.params.blocksize, 127) })),
  reference: ({ q, absmax }, { blocksize }) => ({ y: dequantizeIntegers(q, absmax, blocksize, 127) }),
} satisfies OpTest;
