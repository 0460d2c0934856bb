import type { Tensor } from "../tensor.ts";
import { allocateActivations, type LayerActivations } from "./activations.ts";
import type { Llama } from "./llama.ts";
import { LossHead, type HeadRows } from "./loss-head.ts";
import type { Allocator } from "./placing.ts";

/** What the device holds of a micro-batch from its ids to its gradients. */
export interface MicroBatch {
  readonly ids: Tensor; // i32[rows]
  readonly targets: Tensor; // i32[rows]
  readonly positions: Tensor; // i32[rows]
  readonly kept: readonly LayerActivations[]; // one a layer, or one for all
  readonly boundary: readonly Tensor[]; // f32[rows, hidden]: input of layer i; the last one is the output
  readonly d: Tensor | undefined; // f32[rows, hidden]
  readonly found: HeadRows;
}

export interface MicroBatchSizes {
  readonly rows: number;
  readonly rank: number;
  readonly training: boolean;
  readonly recompute: boolean;
  /** Inputs wait in a `BoundaryStack`: two tensors take turns. */
  readonly stacked: boolean;
  /** The lowest layer with an adapter. */
  readonly bottom: number;
}

/** @param shared activations that are computed again whenever they are needed: those of another micro-batch do. */
export function allocateMicroBatch(memory: Allocator, model: Llama, { rows, rank, training, recompute, stacked, bottom }: MicroBatchSizes, shared?: LayerActivations): MicroBatch {
  const { shape } = model;
  const layers = shape.numHiddenLayers;
  const one = shared ?? allocateActivations(memory, shape, rows, rank, "activations");
  const keepAll = training && !recompute;
  const kept = model.layers.map((_, i) => (keepAll && i >= bottom && i < layers - 1 ? allocateActivations(memory, shape, rows, rank, `activations.${i}`) : one));
  const residual = (name: string): Tensor => memory.allocate("f32", [rows, shape.hiddenSize], name);
  const stream = Array.from({ length: training && !stacked ? layers + 1 : 2 }, (_, i) => residual(`residual.${i}`));
  const row = (name: string): Tensor => memory.allocate("i32", [rows], name);
  return {
    ids: row("ids"), targets: row("targets"), positions: row("positions"), kept,
    boundary: Array.from({ length: layers + 1 }, (_, i) => stream[i % stream.length]),
    d: training ? residual("gradient.residual") : undefined,
    found: LossHead.allocateRows(memory, model, rows),
  };
}
