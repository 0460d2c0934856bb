import { matmulNf4Nn } from "../../src/ops/matmul-nf4-nn.ts";
import { productReference } from "../support/matmul.ts";
import type { OpTest } from "../support/op-case.ts";
import { weightsCases, weightsReference } from "../support/weights-4bit.ts";

export default {
  op: matmulNf4Nn,
  cases: weightsCases("nn"),
  reference: (inputs, p) => ({
    dx: productReference("nn", inputs["dy"], weightsReference(inputs, p), p["m"], p["k"], p["n"], p["accumulate"] ? inputs["dx"] : undefined),
  }),
} satisfies OpTest;
