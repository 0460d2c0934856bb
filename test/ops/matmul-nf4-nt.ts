import { matmulNf4Nt } from "../../src/ops/matmul-nf4-nt.ts";
import { productReference } from "../support/matmul.ts";
import type { OpTest } from "../support/op-case.ts";
import { weightsCases, weightsReference } from "../support/weights-4bit.ts";

export default {
  op: matmulNf4Nt,
  cases: weightsCases("nt"),
  reference: (inputs, p) => ({
    y: productReference("nt", inputs["x"], weightsReference(inputs, p), p["m"], p["n"], p["k"], p["accumulate"] ? inputs["y"] : undefined),
  }),
} satisfies OpTest;
