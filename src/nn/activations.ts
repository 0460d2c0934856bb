import type { Device } from "../device.ts";
import { attention, attentionBackward, matmulNt } from "../ops/index.ts";
import type { Tensor } from "../tensor.ts";
import type { LinearScratch } from "./linear.ts";
import type { Allocator } from "./placing.ts";
import type { LlamaShape, Span } from "./shape.ts";

export const LINEARS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"] as const;
export type LinearName = (typeof LINEARS)[number];

/** What a layer's backward pass needs of its forward pass. Norms and SwiGLU are recomputed: cheap, and a third of the bytes. */
export interface LayerActivations {
  readonly q: Tensor; // f32[rows, heads · headDim], rotated
  readonly k: Tensor; // f32[rows, kvHeads · headDim], rotated; a cache's rows while generating
  readonly v: Tensor; // f32[rows, kvHeads · headDim]
  readonly attended: Tensor; // f32[rows, heads · headDim]
  readonly lse: Tensor; // f32[heads, rows]
  readonly middle: Tensor; // f32[rows, hidden]: the residual stream after attention
  readonly gate: Tensor; // f32[rows, intermediate]
  readonly up: Tensor; // f32[rows, intermediate]
  readonly rstd1: Tensor; // f32[rows]
  readonly rstd2: Tensor; // f32[rows]
  readonly h: Readonly<Record<LinearName, Tensor>>; // f32[rows, r] each
}

/** Bytes of one layer's `LayerActivations`. */
export function activationBytes(shape: LlamaShape, rows: number, rank: number): number {
  const { hidden, heads, kv, inner } = widths(shape);
  return 4 * rows * (2 * heads + 2 * kv + hidden + 2 * inner + shape.numAttentionHeads + 2 + LINEARS.length * rank);
}

export function allocateActivations(device: Allocator, shape: LlamaShape, rows: number, rank: number, label: string): LayerActivations {
  const { hidden, heads, kv, inner } = widths(shape);
  const make = (name: string, n: number): Tensor => device.allocate("f32", [rows, n], `${label}.${name}`);
  return {
    q: make("q", heads), k: make("k", kv), v: make("v", kv), attended: make("attended", heads),
    lse: make("lse", shape.numAttentionHeads), middle: make("middle", hidden),
    gate: make("gate", inner), up: make("up", inner), rstd1: make("rstd1", 1), rstd2: make("rstd2", 1),
    h: Object.fromEntries(LINEARS.map((name) => [name, make(`h.${name}`, rank)])) as Record<LinearName, Tensor>,
  };
}

/** Buffers that all layers share, one after the other. */
export interface LayerScratch extends LinearScratch {
  readonly normed: Tensor; // f32[rows, hidden]
  readonly inner: Tensor; // f32[rows, intermediate]
}

export function allocateScratch(device: Allocator, shape: LlamaShape, rows: number, rank: number, dropout: boolean): LayerScratch {
  const { hidden, heads, inner } = widths(shape);
  const make = (name: string, n: number): Tensor => device.allocate("f32", [rows, n], `scratch.${name}`);
  return {
    normed: make("normed", hidden), inner: make("inner", inner),
    u: make("u", rank), dropped: dropout ? make("dropped", Math.max(hidden, heads, inner)) : undefined,
  };
}

/** Gradients that flow backwards through one layer at a time. */
export interface LayerGradients {
  readonly normed: Tensor; // f32[rows, hidden]
  readonly attended: Tensor; // f32[rows, heads · headDim]
  readonly q: Tensor;
  readonly k: Tensor;
  readonly v: Tensor;
  readonly inner: Tensor; // f32[rows, intermediate]
}

export function allocateGradients(device: Allocator, shape: LlamaShape, rows: number): LayerGradients {
  const { hidden, heads, kv, inner } = widths(shape);
  const make = (name: string, n: number): Tensor => device.allocate("f32", [rows, n], `gradient.${name}`);
  return { normed: make("normed", hidden), attended: make("attended", heads), q: make("q", heads), k: make("k", kv), v: make("v", kv), inner: make("inner", inner) };
}

/** Scratch memory for the largest span of a run, so that no step allocates it. */
export function reserveScratch(device: Device, shape: LlamaShape, { batch, length, keyLength }: Span, training: boolean): void {
  const { headDim, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = shape;
  const params = { batch, queryLength: length, keyLength, heads, kvHeads, headDim, scale: 1 };
  device.reserve(matmulNt, { m: batch * length, n: shape.hiddenSize, k: shape.hiddenSize, accumulate: 0 });
  device.reserve(attention, params);
  if (training) device.reserve(attentionBackward, params);
}

export function widths(shape: LlamaShape): { hidden: number; heads: number; kv: number; inner: number } {
  return {
    hidden: shape.hiddenSize,
    heads: shape.numAttentionHeads * shape.headDim,
    kv: shape.numKeyValueHeads * shape.headDim,
    inner: shape.intermediateSize,
  };
}
