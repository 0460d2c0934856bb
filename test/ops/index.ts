// One line an op, in the order of src/ops/index.ts.
import rmsnorm from "./rmsnorm.ts";
import rmsnormBackward from "./rmsnorm-backward.ts";
import matmulNt from "./matmul-nt.ts";
import matmulNn from "./matmul-nn.ts";
import matmulTn from "./matmul-tn.ts";
import matmulNf4Nt from "./matmul-nf4-nt.ts";
import matmulNf4Nn from "./matmul-nf4-nn.ts";
import addBias from "./add-bias.ts";
import rope from "./rope.ts";
import attention from "./attention.ts";
import attentionBackward from "./attention-backward.ts";
import swiglu from "./swiglu.ts";
import swigluBackward from "./swiglu-backward.ts";
import embedding from "./embedding.ts";
import crossEntropy from "./cross-entropy.ts";
import sumSquares from "./sum-squares.ts";
import clipScale from "./clip-scale.ts";
import adamw from "./adamw.ts";
import addScaled from "./add-scaled.ts";
import scale from "./scale.ts";
import fill from "./fill.ts";
import copy from "./copy.ts";
import dropout from "./dropout.ts";
import type { OpTest } from "../support/op-case.ts";

export const opTests: OpTest[] = [
  rmsnorm,
  rmsnormBackward,
  matmulNt,
  matmulNn,
  matmulTn,
  matmulNf4Nt,
  matmulNf4Nn,
  addBias,
  rope,
  attention,
  attentionBackward,
  swiglu,
  swigluBackward,
  embedding,
  crossEntropy,
  sumSquares,
  clipScale,
  adamw,
  addScaled,
  scale,
  fill,
  copy,
  dropout,
];
