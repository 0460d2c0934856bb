import type { Op } from "../src/op.ts";
import * as ops from "../src/ops/index.ts";

export interface Shape {
  readonly op: Pick<Op, "name" | "cost" | "tiles">;
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
const HIDDEN = 576, INNER = 1536, KV = 192, VOCAB = 49152;
const HEADS = { heads: 9, kvHeads: 3, headDim: 64, scale: 0.125 };
const NESTED = { blocksize: 64, nested: 1, nestedOffset: 0.05, round: 0 };

/** out × in of the seven linears of a layer, equal ones together. */
const LINEARS = [
  { out: HIDDEN, in: HIDDEN, count: 2 }, // q, o
  { out: KV, in: HIDDEN, count: 2 }, // k, v
  { out: INNER, in: HIDDEN, count: 2 }, // gate, up
  { out: HIDDEN, in: INNER, count: 1 }, // down
];

function gemm(op: Shape["op"], m: number, n: number, k: number, calls: number, accumulate = 0): Shape {
  return { op, params: { m, n, k, xStride: k, accumulate }, note: `${m}×${n}×${k}${accumulate ? " +=" : ""}`, calls };
}

function quantized(op: Shape["op"], m: number, n: number, k: number, calls: number): Shape {
  return { op, params: { m, n, k, ...NESTED, accumulate: 0 }, note: `${m} rows, W ${n}×${k}`, calls };
}

const linears = LINEARS.flatMap(({ out, in: k, count }): Shape[] => {
  const calls = LAYERS * count;
  return [
    quantized(ops.matmulNf4Nt as never, M, out, k, calls),
    quantized(ops.matmulNf4Nn as never, M, out, k, calls),
    gemm(ops.matmulNt as never, M, RANK, k, calls), // h = x Aᵀ
    gemm(ops.matmulNt as never, M, out, RANK, calls, 1), // y += h Bᵀ
    gemm(ops.matmulNn as never, M, RANK, out, calls), // u = dy B
    gemm(ops.matmulNn as never, M, k, RANK, calls, 1), // dx += u A
    gemm(ops.matmulTn as never, out, RANK, M, calls, 1), // dB += dyᵀ h
    gemm(ops.matmulTn as never, RANK, k, M, calls, 1), // dA += uᵀ x
  ];
});

const rowwise = (op: unknown, note: string, params: Record<string, number>, calls: number): Shape => ({ op: op as Shape["op"], note, params, calls });
const attend = { batch: 4, queryLength: 256, keyLength: 256, ...HEADS };

export const SHAPES: readonly Shape[] = [
  gemm(ops.matmulNt as never, 512, 1536, 576, 0),
  gemm(ops.matmulNt as never, 1024, 1024, 1024, 0),
  gemm(ops.matmulNn as never, 1024, 1024, 1024, 0),
  gemm(ops.matmulTn as never, 1024, 1024, 1024, 0),
  quantized(ops.matmulNf4Nt as never, 64, 1536, 576, 0),
  quantized(ops.matmulNf4Nn as never, 64, 1536, 576, 0),
  gemm(ops.matmulNt as never, M, INNER, HIDDEN, 0),
  gemm(ops.matmulNn as never, M, HIDDEN, INNER, 0),
  ...linears,
  gemm(ops.matmulNt as never, 128, VOCAB, HIDDEN, 8),
  { ...gemm(ops.matmulNn as never, 128, HIDDEN, 2048, (8 * VOCAB) / 2048, 1), params: { m: 128, n: HIDDEN, k: 2048, xStride: VOCAB, accumulate: 1 } },
  rowwise(ops.attention, "4 × 256", attend, LAYERS),
  rowwise(ops.attentionBackward, "4 × 256", attend, LAYERS),
  rowwise(ops.swiglu, "1024×1536", { n: M * INNER }, LAYERS),
  rowwise(ops.swigluBackward, "1024×1536", { n: M * INNER }, LAYERS),
  rowwise(ops.rmsnorm, "1024×576", { rows: M, n: HIDDEN, eps: 1e-5 }, 4 * LAYERS),
  rowwise(ops.rmsnormBackward, "1024×576", { rows: M, n: HIDDEN, accumulate: 1 }, 2 * LAYERS),
  rowwise(ops.rope, "1024×9×64", { rows: M, heads: 9, headDim: 64, maxPositions: 256, sign: 1 }, 2 * LAYERS),
  rowwise(ops.crossEntropy, "128×49152 backward", { rows: 128, vocab: VOCAB, backward: 1, scale: 1 / 1024 }, 8),
  rowwise(ops.sumSquares, "4.9 M", { n: 4_884_480 }, 1),
  rowwise(ops.addScaled, "1024×576", { n: M * HIDDEN, alpha: 1 }, 2 * LAYERS),
  rowwise(ops.copy, "1024×576", { n: M * HIDDEN }, LAYERS),
  rowwise(ops.dropout, "1024×576", { rows: M, n: HIDDEN, probability: 0.1, key0: 1, key1: 2, step: 3, sequence: 4, rowsPerSequence: 256, accumulate: 0 }, 0),
  rowwise(ops.adamw, "4.9 M", { n: 4_884_480, learningRate: 1e-4, oneMinusBeta1: 0.1, beta2: 0.999, oneMinusBeta2: 0.001, eps: 1e-8, weightDecay: 0, correction1: 0.1, correction2: 0.001 }, 1),
  quantized(ops.matmulNf4Nt as never, 1, INNER, HIDDEN, 0),
  quantized(ops.matmulNf4Nt as never, 1, HIDDEN, INNER, 0),
  gemm(ops.matmulNt as never, 1, VOCAB, HIDDEN, 0),
  gemm(ops.matmulNt as never, 1, RANK, HIDDEN, 0),
  gemm(ops.matmulNt as never, 1, INNER, RANK, 0, 1),
  rowwise(ops.attention, "1 query, 512 keys", { batch: 1, queryLength: 1, keyLength: 512, ...HEADS }, 0),
];
