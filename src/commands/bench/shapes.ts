import type { Op } from "../../op.ts";
import * as ops from "../../ops/index.ts";

/** A call of an op in a model, for `npm run bench`. */
export interface Shape {
  readonly op: Op;
  readonly params: Record<string, number>;
  readonly note: string;
  /** Calls in one training step of 4 × 256 tokens; 0 for what training does not do. */
  readonly calls: number;
}

/** Tokens of a batch: 4 × 256. */
export const TOKENS = 1024;
const M = TOKENS;
const LAYERS = 30;
const RANK = 16;

// SmolLM2-135M
export const HIDDEN = 576, INNER = 1536, KV = 192, VOCAB = 49152, SLICE = 768;
const HEADS = { heads: 9, kvHeads: 3, headDim: 64, scale: 0.125 };
const NESTED = { blocksize: 64, nested: 1, nestedOffset: 0.05, round: 0 };

/** out × in of the seven linears of a layer, equal ones together. */
const LINEARS = [
  { out: HIDDEN, in: HIDDEN, count: 2 }, // q, o
  { out: KV, in: HIDDEN, count: 2 }, // k, v
  { out: INNER, in: HIDDEN, count: 2 }, // gate, up
  { out: HIDDEN, in: INNER, count: 1 }, // down
];

const shapeOf = (op: unknown, note: string, params: Record<string, number>, calls: number): Shape => ({ op: op as Op, note, params, calls });

/** m rows through a float32 matrix of n × k. */
export function dense(op: unknown, m: number, n: number, k: number, calls = 0, accumulate = 0): Shape {
  return shapeOf(op, `${m}x${n}x${k}${accumulate ? " +=" : ""}`, { m, n, k, xStride: k, accumulate }, calls);
}

/** m rows through a matrix of n × k in NF4 with double quantization. */
export function quantized(op: unknown, m: number, n: number, k: number, calls = 0): Shape {
  return shapeOf(op, `${m}x${n}x${k}`, { m, n, k, dyStride: n, ...NESTED, accumulate: 0 }, calls);
}

const linears = LINEARS.flatMap(({ out, in: k, count }): Shape[] => {
  const calls = LAYERS * count;
  return [
    quantized(ops.matmulNf4Nt, M, out, k, calls),
    quantized(ops.matmulNf4Nn, M, out, k, calls),
    dense(ops.matmulNt, M, RANK, k, calls), // h = x Aᵀ
    dense(ops.matmulNt, M, out, RANK, calls, 1), // y += h Bᵀ
    dense(ops.matmulNn, M, RANK, out, calls), // u = dy B
    dense(ops.matmulNn, M, k, RANK, calls, 1), // dx += u A
    dense(ops.matmulTn, out, RANK, M, calls, 1), // dB += dyᵀ h
    dense(ops.matmulTn, RANK, k, M, calls, 1), // dA += uᵀ x
  ];
});

const attend = { batch: 4, queryLength: 256, keyLength: 256, ...HEADS };

/** What a training step of SmolLM2-135M does. */
export const STEP: readonly Shape[] = [
  ...linears,
  dense(ops.matmulNt, 128, VOCAB, HIDDEN, 8),
  { ...dense(ops.matmulNn, 128, HIDDEN, SLICE, (8 * VOCAB) / SLICE, 1), params: { m: 128, n: HIDDEN, k: SLICE, xStride: VOCAB, accumulate: 1 } },
  shapeOf(ops.attention, "4x256", attend, LAYERS),
  shapeOf(ops.attentionBackward, "4x256", attend, LAYERS),
  shapeOf(ops.swiglu, "1024x1536", { n: M * INNER }, LAYERS),
  shapeOf(ops.swigluBackward, "1024x1536", { n: M * INNER }, LAYERS),
  shapeOf(ops.rmsnorm, "1024x576", { rows: M, n: HIDDEN, eps: 1e-5 }, 4 * LAYERS),
  shapeOf(ops.rmsnormBackward, "1024x576", { rows: M, n: HIDDEN, accumulate: 1 }, 2 * LAYERS),
  shapeOf(ops.rope, "1024x12x64", { rows: M, heads: 9, kvHeads: 3, headDim: 64, maxPositions: 256, sign: 1 }, 2 * LAYERS),
  shapeOf(ops.softmaxSlices, "128x49152", { rows: 128, n: VOCAB, first: 0, slice: SLICE, vocab: VOCAB }, 8),
  shapeOf(ops.crossEntropy, "128x49152", { rows: 128, n: VOCAB, first: 0, slice: SLICE, vocab: VOCAB, scale: 1 / 1024 }, 8),
  shapeOf(ops.sumSquares, "4.9 M", { n: 4_884_480 }, 1),
  shapeOf(ops.addScaled, "1024x576", { n: M * HIDDEN, alpha: 1 }, 2 * LAYERS),
  shapeOf(ops.dropout, "1024x576", { rows: M, n: HIDDEN, probability: 0.1, key0: 1, key1: 2, step: 3, sequence: 4, rowsPerSequence: 256, accumulate: 0 }, 0),
  shapeOf(ops.adamw, "4.9 M", { n: 4_884_480, learningRate: 1e-4, oneMinusBeta1: 0.1, beta2: 0.999, oneMinusBeta2: 0.001, eps: 1e-8, weightDecay: 0, correction1: 0.1, correction2: 0.001 }, 1),
];

/** Products by size; those of one size are timed in turns. The first two are what other libraries are compared on. */
export const PRODUCTS: readonly (readonly Shape[])[] = [
  products(512, INNER, HIDDEN),
  [...products(1024, 1024, 1024), dense(ops.matmulNn, 1024, 1024, 1024), dense(ops.matmulTn, 1024, 1024, 1024)],
  products(M, INNER, HIDDEN),
  products(M, HIDDEN, INNER),
  products(64, INNER, HIDDEN),
  products(1, INNER, HIDDEN),
  [dense(ops.matmulNt, 1, VOCAB, HIDDEN)],
];

/** Float32, NF4 and the gradient through NF4. One row is generation, which has no gradient. */
export function products(m: number, n: number, k: number): Shape[] {
  const forward = [dense(ops.matmulNt, m, n, k), quantized(ops.matmulNf4Nt, m, n, k)];
  return m === 1 ? forward : [...forward, quantized(ops.matmulNf4Nn, m, n, k)];
}

/** What generating a token does besides. */
export const TOKEN: readonly Shape[] = [
  quantized(ops.matmulNf4Nt, 1, HIDDEN, INNER),
  dense(ops.matmulNt, 1, RANK, HIDDEN),
  dense(ops.matmulNt, 1, INNER, RANK, 0, 1),
  shapeOf(ops.attention, "1 query, 512 keys", { batch: 1, queryLength: 1, keyLength: 512, ...HEADS }, 0),
];
