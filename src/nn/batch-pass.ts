import type { Device } from "../device.ts";
import { Plan } from "../pager/plan.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import { activationBytes, allocateActivations, allocateGradients, allocateScratch, reserveScratch, type LayerActivations, type LayerGradients, type LayerScratch } from "./activations.ts";
import type { Rotation } from "./decoder-layer.ts";
import type { DropoutPosition } from "./linear.ts";
import type { Llama } from "./llama.ts";
import { LossHead } from "./loss-head.ts";
import { rowsOf, type Span } from "./shape.ts";
import { lookUp } from "./weight.ts";

/** Sequences of one length, padded on the right; a causal model never looks at the padding. */
export interface Batch {
  readonly batch: number;
  readonly length: number;
  readonly ids: Int32Array; // [batch, length]
  readonly targets: Int32Array; // [batch, length]: what row t must predict, or IGNORED
}

export interface BatchPassOptions {
  /** The largest batch × length of the whole run; everything is placed for it, once. */
  readonly batch: number;
  readonly length: number;
  /** Micro-batches whose losses are kept for one read-back. */
  readonly microBatches: number;
  /** Widest adapter, at least 1. */
  readonly rank: number;
  readonly training: boolean;
  /** Keep only each layer's input and run its forward pass again in the backward pass. */
  readonly recompute: boolean;
  readonly dropout: boolean;
}

/** Forward and backward over whole sequences: training and evaluation. A step allocates nothing. */
export class BatchPass {
  readonly #model: Llama;
  readonly #device: Device;
  readonly #options: BatchPassOptions;
  readonly #kept: LayerActivations[]; // one a layer, or one for all
  readonly #boundary: Tensor[]; // f32[rows, hidden]: input of layer i; the last one is the output
  readonly #scratch: LayerScratch;
  readonly #gradients: LayerGradients | undefined;
  readonly #d: Tensor | undefined; // f32[rows, hidden]
  readonly #rotation: Rotation;
  readonly #ids: Tensor; // i32[rows]
  readonly #targets: Tensor; // i32[rows]
  readonly #loss: Tensor; // f32[microBatches, rows]
  readonly #head: LossHead;
  /** The lowest layer with an adapter: the backward pass ends there. */
  readonly #bottom: number;
  readonly #forwardPlan: Plan;
  readonly #trainPlan: Plan;

  constructor(model: Llama, options: BatchPassOptions) {
    this.#model = model;
    this.#device = model.device;
    this.#options = options;
    const { device, shape } = model;
    const rows = options.batch * options.length;
    const layers = shape.numHiddenLayers;
    const first = model.layers.findIndex((layer) => Object.values(layer.linears).some((linear) => linear.loras.length > 0));
    this.#bottom = first < 0 ? layers : first;
    const up = model.layers.map((_, i) => i);
    this.#forwardPlan = new Plan(up);
    this.#trainPlan = new Plan([...up, ...up.slice(this.#bottom).reverse()]);
    const shared = allocateActivations(device, shape, rows, options.rank, "activations");
    const keepAll = options.training && !options.recompute;
    this.#kept = model.layers.map((_, i) =>
      keepAll && i >= this.#bottom && i < layers - 1 ? allocateActivations(device, shape, rows, options.rank, `activations.${i}`) : shared);
    const boundaries = options.training ? layers + 1 : 2;
    const stream = Array.from({ length: boundaries }, (_, i) => device.allocate("f32", [rows, shape.hiddenSize], `residual.${i}`));
    this.#boundary = Array.from({ length: layers + 1 }, (_, i) => stream[options.training ? i : i % 2]);
    this.#scratch = allocateScratch(device, shape, rows, options.rank, options.dropout);
    this.#gradients = options.training ? allocateGradients(device, shape, rows) : undefined;
    this.#d = options.training ? device.allocate("f32", [rows, shape.hiddenSize], "gradient.residual") : undefined;
    this.#ids = device.allocate("i32", [rows], "ids");
    this.#targets = device.allocate("i32", [rows], "targets");
    this.#loss = device.allocate("f32", [options.microBatches, rows], "loss");
    this.#rotation = { ...model.allocateRope(options.length), positions: device.allocate("i32", [rows], "positions") };
    this.#head = new LossHead(model, rows);
    reserveScratch(device, shape, { batch: options.batch, length: options.length, keyLength: options.length }, options.training);
  }

  /** Bytes that a pass with these options would allocate, to choose `recompute` before anything is. */
  static bytes(model: Llama, options: BatchPassOptions): number {
    const { shape } = model;
    const rows = options.batch * options.length;
    const sets = options.training && !options.recompute ? shape.numHiddenLayers : 1;
    const boundaries = options.training ? shape.numHiddenLayers + 2 : 2;
    const working = 4 * rows * (4 * shape.hiddenSize + 3 * shape.intermediateSize + 4 * shape.numAttentionHeads * shape.headDim);
    return sets * activationBytes(shape, rows, options.rank) + 4 * rows * shape.hiddenSize * boundaries + working + LossHead.bytes(model, rows);
  }

  #upload({ batch, length, ids, targets }: Batch): Span {
    this.#device.write(this.#ids, ids);
    this.#device.write(this.#targets, targets);
    this.#device.write(this.#rotation.positions, Int32Array.from({ length: batch * length }, (_, row) => row % length));
    return { batch, length, keyLength: length };
  }

  #forwardLayer(i: number, span: Span, dropout?: DropoutPosition): void {
    this.#model.layers[i].forward(this.#device, span, this.#boundary[i], this.#boundary[i + 1], this.#kept[i], this.#scratch, this.#rotation, dropout);
  }

  async #forward(span: Span, dropout?: DropoutPosition): Promise<void> {
    lookUp(this.#device, this.#model.embedding, this.#ids, this.#boundary[0], rowsOf(span));
    for (let i = 0; i < this.#model.layers.length; i++) {
      await this.#model.pager?.use(i);
      this.#forwardLayer(i, span, dropout);
    }
  }

  #lossRows(slot: number, rows: number): Tensor {
    return viewTensor(this.#loss, [rows], slot * this.#options.batch * this.#options.length);
  }

  /** Queues the loss of every row of `batch` into slot `slot`. */
  async evaluate(batch: Batch, slot = 0): Promise<void> {
    await this.#model.pager?.begin(this.#forwardPlan);
    const span = this.#upload(batch);
    const rows = rowsOf(span);
    await this.#forward(span);
    this.#head.run(this.#boundary[this.#model.layers.length], rows, batch.targets, this.#targets, this.#lossRows(slot, rows), 1);
  }

  /**
   * Queues forward and backward; gradients are added to the adapters'.
   * @param scale 1 / target tokens of the whole optimizer step.
   */
  async train(batch: Batch, slot: number, scale: number, dropout?: DropoutPosition): Promise<void> {
    await this.#model.pager?.begin(this.#trainPlan);
    const span = this.#upload(batch);
    const rows = rowsOf(span);
    const last = this.#model.layers.length - 1;
    await this.#forward(span, dropout);
    const d = this.#d!;
    this.#head.run(this.#boundary[last + 1], rows, batch.targets, this.#targets, this.#lossRows(slot, rows), scale, d);
    for (let i = last; i >= this.#bottom; i--) {
      await this.#model.pager?.use(i);
      // The top layer's activations are still there. Recomputing also rewrites boundary i + 1, with the same bits.
      if (this.#options.recompute && i !== last) this.#forwardLayer(i, span, dropout);
      this.#model.layers[i].backward(this.#device, span, this.#boundary[i], d, this.#kept[i], this.#gradients!, this.#scratch, this.#rotation, dropout, i > this.#bottom);
    }
  }

  /** Losses of the first `slots` micro-batches, row by row as they were given; the one read-back of a step. */
  async losses(batches: readonly Batch[]): Promise<Float32Array[]> {
    const stride = this.#options.batch * this.#options.length;
    const all = (await this.#device.read(viewTensor(this.#loss, [batches.length, stride]))) as Float32Array;
    return batches.map(({ batch, length }, slot) => all.subarray(slot * stride, slot * stride + batch * length));
  }

  /** Logits of rows [begin, begin + count) of the batch that ran last, f32[count, vocab]. */
  logits(begin: number, count: number): Promise<Float32Array> {
    return this.#head.logits(this.#boundary[this.#model.layers.length], begin, count);
  }

  dispose(): void {
    this.#model.pager?.release(); // the next pass may need more
    this.#head.dispose();
    const tensors = new Set<Tensor>([...this.#boundary, this.#ids, this.#targets, this.#loss, ...Object.values(this.#rotation)]);
    for (const kept of this.#kept) for (const t of [...Object.values(kept), ...Object.values(kept.h)]) if ("buffer" in t) tensors.add(t as Tensor);
    for (const group of [this.#scratch, this.#gradients ?? {}]) for (const t of Object.values(group)) if (t) tensors.add(t as Tensor);
    if (this.#d) tensors.add(this.#d);
    for (const tensor of tensors) this.#device.free(tensor);
  }
}
