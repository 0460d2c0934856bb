import type { Op } from "../op.ts";
import { matmulNf4Nn } from "./matmul-nf4-nn.ts";
import { matmulNt } from "./matmul-nt.ts";

/** What a GPU's tilings are compared by: most of a training step is products like these. */
export const TILING_PROBES = [
  { op: matmulNt as unknown as Op, params: (size: number) => ({ m: size, n: size, k: 512, accumulate: 0 }) },
  { op: matmulNf4Nn as unknown as Op, params: (size: number) => ({ m: size, n: 512, k: size, dyStride: 512, blocksize: 64, nested: 0, nestedOffset: 0, round: 0, accumulate: 0 }) },
];
