// One line an op, in the order of src/ops/index.ts.
import bf16ToF32 from "./bf16-to-f32.ts";
import dequantize4bit from "./dequantize-4bit.ts";
import dequantize8bit from "./dequantize-8bit.ts";
import dequantizeInt4 from "./dequantize-int4.ts";
import dequantizeInt8 from "./dequantize-int8.ts";
import f16ToF32 from "./f16-to-f32.ts";
import f32ToBf16 from "./f32-to-bf16.ts";
import f32ToF16 from "./f32-to-f16.ts";
import multiplyAddPeak from "./multiply-add-peak.ts";
import quantize4bit from "./quantize-4bit.ts";
import quantize8bit from "./quantize-8bit.ts";
import quantizeInt4 from "./quantize-int4.ts";
import quantizeInt8 from "./quantize-int8.ts";
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
import softmaxSlices from "./softmax-slices.ts";
import embedding4bit from "./embedding-4bit.ts";
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
  softmaxSlices,
  embedding4bit,
  crossEntropy,
  sumSquares,
  clipScale,
  adamw,
  addScaled,
  scale,
  fill,
  copy,
  dropout,
  dequantize4bit,
  f16ToF32,
  bf16ToF32,
  f32ToF16,
  f32ToBf16,
  quantize4bit,
  quantize8bit,
  dequantize8bit,
  quantizeInt8,
  quantizeInt4,
  dequantizeInt8,
  dequantizeInt4,
  multiplyAddPeak,
];
