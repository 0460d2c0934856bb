import type { Device } from "../device.ts";
import type { HostTier } from "../pager/host-tier.ts";
import type { Pager } from "../pager/pager.ts";
import type { CopyStats } from "../pager/paging-stats.ts";
import { Plan } from "../pager/plan.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import { activationBytes, allocateGradients, allocateScratch, reserveScratch, type LayerGradients, type LayerScratch } from "./activations.ts";
import { BoundaryStack } from "./boundary-stack.ts";
import type { Rotation } from "./decoder-layer.ts";
import { embed } from "./embedding.ts";
import { pagesOf } from "./head.ts";
import type { DropoutPosition } from "./linear.ts";
import type { Llama } from "./llama.ts";
import { LossHead, type HeadTask } from "./loss-head.ts";
import { allocateMicroBatch, type MicroBatch, type MicroBatchSizes } from "./micro-batch.ts";
import { bytesToPlace, place, tryPlace, type Allocator, type Placed } from "./placing.ts";
import { rowsOf, type Span } from "./shape.ts";

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
  /** Where the inputs of layers wait between forward and backward, which recomputes; by default on the device. */
  readonly stack?: HostTier | undefined;
}

/** A micro-batch on its way through the layers. */
interface Task {
  readonly on: MicroBatch;
  readonly stack: BoundaryStack | undefined;
  readonly batch: Batch;
  readonly span: Span;
  readonly loss: Tensor; // f32[rows]
  readonly dropout: DropoutPosition | undefined;
}

/** Forward and backward over whole sequences: training and evaluation. A step allocates nothing but the first. */
export class BatchPass {
  readonly #model: Llama;
  readonly #device: Device;
  readonly #options: BatchPassOptions;
  readonly #sizes: MicroBatchSizes;
  readonly #first: MicroBatch;
  /** More of them, that share every sweep over the pages with the first. */
  #others: Placed<MicroBatch>[] | undefined;
  readonly #stacks: BoundaryStack[] = []; // one a micro-batch, if inputs are stacked
  readonly #scratch: LayerScratch;
  readonly #gradients: LayerGradients | undefined;
  readonly #rope: Pick<Rotation, "cos" | "sin">;
  readonly #loss: Tensor; // f32[microBatches, rows]
  readonly #head: LossHead;
  readonly #tensors: readonly Tensor[];
  readonly #forwardPlan: Plan;
  readonly #trainPlan: Plan;

  constructor(model: Llama, options: BatchPassOptions) {
    this.#model = model;
    this.#device = model.device;
    this.#options = options;
    const { shape } = model;
    const rows = options.batch * options.length;
    const first = model.layers.findIndex((layer) => Object.values(layer.linears).some((linear) => linear.loras.length > 0));
    const stacked = options.stack !== undefined && options.training;
    this.#sizes = { ...options, recompute: options.recompute || stacked, stacked, rows, bottom: first < 0 ? shape.numHiddenLayers : first };
    const layers = model.layers.map((_, i) => i);
    const up = [...layers, ...pagesOf(model.head)];
    this.#forwardPlan = new Plan(up);
    this.#trainPlan = new Plan([...up, ...up.slice(this.#sizes.bottom).reverse()]);
    const { value, tensors } = place(this.#device, (memory) => ({
      first: allocateMicroBatch(memory, model, this.#sizes),
      scratch: allocateScratch(memory, shape, rows, options.rank, options.dropout),
      gradients: options.training ? allocateGradients(memory, shape, rows) : undefined,
      loss: memory.allocate("f32", [options.microBatches, rows], "loss"),
      head: new LossHead(model, rows, memory),
    }));
    this.#first = value.first;
    this.#scratch = value.scratch;
    this.#gradients = value.gradients;
    this.#loss = value.loss;
    this.#head = value.head;
    this.#rope = model.allocateRope(options.length);
    this.#tensors = [...tensors, ...Object.values(this.#rope)];
    this.#addStack();
    reserveScratch(this.#device, shape, { batch: options.batch, length: options.length, keyLength: options.length }, options.training);
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

  #addStack(): void {
    const { stack, training } = this.#options;
    const { rows, bottom } = this.#sizes;
    const { numHiddenLayers, hiddenSize } = this.#model.shape;
    if (stack && training) this.#stacks.push(new BoundaryStack(stack, numHiddenLayers, bottom, rows * hiddenSize));
  }

  /** Bytes that went to the stack and came back; undefined without one. */
  get stacked(): CopyStats | undefined {
    if (!this.#stacks.length) return undefined;
    const sum = (way: keyof CopyStats): number => this.#stacks.reduce((bytes, { pages }) => bytes + pages[way], 0);
    return { bytesUp: sum("bytesUp"), bytesDown: sum("bytesDown") };
  }

  /** To be awaited before frames of the base take the device's memory. */
  async prepare(): Promise<void> {
    await this.#stacks[0]?.pages.prepare(this.#first.boundary[0]);
  }

  async #begin(on: MicroBatch, given: Batch, slot: number, stack?: BoundaryStack, dropout?: DropoutPosition): Promise<Task> {
    const { batch, length, ids, targets } = given;
    const rows = batch * length;
    this.#device.write(on.ids, ids);
    this.#device.write(on.targets, targets);
    this.#device.write(on.positions, Int32Array.from({ length: rows }, (_, row) => row % length));
    await embed(this.#device, this.#model.embedding, ids, on.ids, on.boundary[0]);
    return { on, stack, batch: given, span: { batch, length, keyLength: length }, loss: viewTensor(this.#loss, [rows], slot * this.#sizes.rows), dropout };
  }

  #forwardLayer(i: number, { on, span, dropout }: Task): void {
    this.#model.layers[i].forward(this.#device, span, on.boundary[i], on.boundary[i + 1], on.kept[i], this.#scratch, this.#rotation(on), dropout);
  }

  /** Input of layer i. */
  #input(i: number, { on, span }: Task): Tensor {
    return viewTensor(on.boundary[i], [rowsOf(span), this.#model.shape.hiddenSize]);
  }

  #rotation({ positions }: MicroBatch): Rotation {
    return { ...this.#rope, positions };
  }

  /** All tasks through every layer before the next one is needed, and through the head: its losses, and for training its gradients. */
  async #forward(tasks: readonly Task[], scale: number, training: boolean): Promise<void> {
    const { layers, pager } = this.#model;
    for (let i = 0; i < layers.length; i++) {
      await pager?.use(i);
      for (const task of tasks) {
        await task.stack?.push(i, this.#input(i, task));
        this.#forwardLayer(i, task);
      }
    }
    const ends = tasks.map(({ on, span, batch, loss }): HeadTask => ({
      x: on.boundary[layers.length], rows: rowsOf(span), targets: batch.targets, targetTensor: on.targets, loss, d: training ? on.d : undefined, found: on.found,
    }));
    await this.#head.run(ends, scale);
  }

  async #backward(tasks: readonly Task[]): Promise<void> {
    const { layers, pager } = this.#model;
    const last = layers.length - 1;
    const { bottom, recompute } = this.#sizes;
    for (let i = last; i >= bottom; i--) {
      await pager?.use(i);
      for (const task of tasks) {
        const { on, span, dropout } = task;
        await task.stack?.pop(i, this.#input(i, task));
        // The top layer's activations are still there if nobody shares them. Recomputing also rewrites boundary i + 1, with the same bits.
        if (recompute && (i !== last || tasks.length > 1)) this.#forwardLayer(i, task);
        layers[i].backward(this.#device, span, on.boundary[i], on.d!, on.kept[i], this.#gradients!, this.#scratch, this.#rotation(on), dropout, i > bottom);
      }
    }
  }

  /** Queues the loss of every row of `batch`. */
  async evaluate(batch: Batch): Promise<void> {
    await this.#model.pager?.begin(this.#forwardPlan);
    await this.#forward([await this.#begin(this.#first, batch, 0)], 1, false);
  }

  /**
   * Queues forward and backward of the micro-batches of an optimizer step; gradients are added to the adapters', those of
   * the first one first. With pages, as many micro-batches as memory has room for share a sweep over the layers.
   * @param scale 1 / target tokens of the whole optimizer step.
   */
  async train(batches: readonly Batch[], scale: number, dropout?: (microBatch: number) => DropoutPosition): Promise<void> {
    const { pager } = this.#model;
    if (pager) this.#others ??= await this.#placeOthers(pager);
    const places = [this.#first, ...(this.#others ?? []).map(({ value }) => value)];
    for (let at = 0; at < batches.length; at += places.length) {
      await pager?.begin(this.#trainPlan);
      const tasks: Task[] = [];
      for (const [i, batch] of batches.slice(at, at + places.length).entries()) tasks.push(await this.#begin(places[i], batch, at + i, this.#stacks[i], dropout?.(at + i)));
      await this.#forward(tasks, scale, true);
      await this.#backward(tasks);
    }
  }

  /** A stack of its own for each must have room on the host. */
  get #mostTogether(): number {
    const { stack, microBatches } = this.#options;
    return stack?.limited ? 1 : microBatches;
  }

  /** Memory for them is memory that frames do not get: as many as make a step load the fewest pages. */
  async #placeOthers(pager: Pager): Promise<Placed<MicroBatch>[]> {
    const build = (memory: Allocator): MicroBatch => allocateMicroBatch(memory, this.#model, this.#sizes, this.#sizes.recompute ? this.#first.kept[0] : undefined);
    const bytes = bytesToPlace(build);
    const placed: Placed<MicroBatch>[] = [];
    for (let left = pager.bestTogether(this.#mostTogether, bytes) - 1; left > 0; left--) {
      const another = await tryPlace(this.#device, build);
      if (!another) break;
      placed.push(another);
      this.#addStack();
    }
    pager.together = placed.length + 1;
    return placed;
  }

  /** Losses of the first `slots` micro-batches, row by row as they were given; the one read-back of a step. */
  async losses(batches: readonly Batch[]): Promise<Float32Array[]> {
    const stride = this.#sizes.rows;
    const all = (await this.#device.read(viewTensor(this.#loss, [batches.length, stride]))) as Float32Array;
    return batches.map(({ batch, length }, slot) => all.subarray(slot * stride, slot * stride + batch * length));
  }

  /** Logits of rows [begin, begin + count) of the batch that was evaluated last, f32[count, vocab]; for tests and tools. */
  logits(begin: number, count: number): Promise<Float32Array> {
    return this.#head.logits(this.#first.boundary[this.#model.layers.length], begin, count);
  }

  dispose(): void {
    this.#model.pager?.release(); // the next pass may need more
    for (const tensor of [...this.#tensors, ...(this.#others ?? []).flatMap(({ tensors }) => tensors)]) this.#device.free(tensor);
  }
}
