import { IGNORED } from "../data/labels.ts";
import type { Device } from "../device.ts";
import { copy, crossEntropy, fill, rmsnorm, rmsnormBackward, softmaxSlices } from "../ops/index.ts";
import { Plan } from "../pager/plan.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import { headSlice, isSliced, pagesOf, type HeadSlice } from "./head.ts";
import type { Llama } from "./llama.ts";
import type { Allocator } from "./placing.ts";
import { multiply, multiplyBackward, rowUnit, type Weight } from "./weight.ts";

const CHUNK_ROWS = 128; // 25 MB of logits at a vocabulary of 49,152; enough rows to reuse each panel of the head

/** What the head finds out about the rows of a micro-batch while slices pass. */
export interface HeadRows {
  readonly partials: Tensor; // f32[rows, slices, 2]
  readonly wanted: Tensor; // f32[rows]
}

/** The rows of a micro-batch. */
export interface HeadTask {
  readonly x: Tensor; // f32[rows, hidden], the output of the last layer
  readonly rows: number;
  readonly targets: Int32Array; // [rows], the host's copy of `targetTensor`, to find chunks without a target
  readonly targetTensor: Tensor; // i32[rows]
  readonly loss: Tensor; // f32[rows], the negative log-likelihood of each row, 0 where ignored
  readonly d: Tensor | undefined; // f32[rows, hidden], the gradient of x; without it there is only the loss
  readonly found: HeadRows;
}

/** Some rows of a task, as views. */
interface Chunk extends Omit<HeadTask, "targets"> {}

/**
 * Final norm, head and cross-entropy, a chunk of rows at a time: [tokens, vocab] never exists. Chunks without a target
 * are skipped altogether. A head in slices, which are pages, passes twice: upwards for the losses, and downwards, its
 * logits computed again, for the gradients. Sums run slice by slice either way, so the bits are the same.
 */
export class LossHead {
  readonly #model: Llama;
  readonly #device: Device;
  readonly #chunk: number;
  readonly #slice: number;
  readonly #normed: Tensor; // f32[chunk, hidden]
  readonly #gradient: Tensor; // f32[chunk, hidden]
  readonly #rstd: Tensor; // f32[chunk]
  readonly #logits: Tensor; // f32[chunk, vocab], or a slice of it

  constructor(model: Llama, rows: number, memory: Allocator) {
    this.#model = model;
    this.#device = model.device;
    this.#chunk = Math.min(CHUNK_ROWS, rows);
    this.#slice = headSlice(model.shape);
    const { hiddenSize } = model.shape;
    const make = (name: string, n: number): Tensor => memory.allocate("f32", [this.#chunk, n], `head.${name}`);
    this.#normed = make("normed", hiddenSize);
    this.#gradient = make("gradient", hiddenSize);
    this.#rstd = make("rstd", 1);
    this.#logits = make("logits", columnsOf(model));
  }

  static bytes(model: Llama, rows: number): number {
    return 4 * Math.min(CHUNK_ROWS, rows) * (2 * model.shape.hiddenSize + 1 + columnsOf(model));
  }

  static allocateRows(memory: Allocator, { shape }: Llama, rows: number): HeadRows {
    const slices = Math.ceil(shape.vocabSize / headSlice(shape));
    return { partials: memory.allocate("f32", [rows, slices, 2], "head.partials"), wanted: memory.allocate("f32", [rows], "head.wanted") };
  }

  /** @param scale what every target weighs in the gradients. */
  async run(tasks: readonly HeadTask[], scale: number): Promise<void> {
    const { head } = this.#model;
    const chunks = tasks.flatMap((task) => this.#chunksOf(task));
    if (isSliced(head)) return this.#sweep(head, chunks, scale, tasks.some(({ d }) => d));
    for (const chunk of chunks) this.#whole(head, chunk, scale);
  }

  #chunksOf({ targets, ...task }: HeadTask): Chunk[] {
    const { hiddenSize: n } = this.#model.shape;
    const chunks: Chunk[] = [];
    for (let begin = 0; begin < task.rows; begin += this.#chunk) {
      const rows = Math.min(this.#chunk, task.rows - begin);
      const part = (tensor: Tensor, width: number): Tensor => viewTensor(tensor, [rows, width], begin * width);
      const { partials, wanted } = task.found;
      const chunk: Chunk = {
        rows, x: part(task.x, n), targetTensor: part(task.targetTensor, 1), loss: part(task.loss, 1), d: task.d && part(task.d, n),
        found: { partials: part(partials, partials.shape[1] * 2), wanted: part(wanted, 1) },
      };
      if (targets.subarray(begin, begin + rows).every((target) => target === IGNORED)) this.#skip(chunk);
      else chunks.push(chunk);
    }
    return chunks;
  }

  #skip({ rows, loss, d }: Chunk): void {
    this.#device.run(fill, { y: loss }, { n: rows, value: 0 });
    if (d) this.#device.run(fill, { y: d }, { n: rows * this.#model.shape.hiddenSize, value: 0 });
  }

  /** With all of the head at hand. */
  #whole(head: Weight, chunk: Chunk, scale: number): void {
    this.#exponentials(head, 0, chunk);
    this.#entropy(chunk, 0, chunk.d ? head.out : 0, scale);
    if (!chunk.d) return;
    const slice = this.#slice % rowUnit(head) === 0 ? this.#slice : head.out; // a head in 4 bits is never a page
    multiplyBackward(this.#device, head, this.#logits, this.#gradient, chunk.rows, false, slice);
    this.#normBackward(chunk, chunk.d);
  }

  async #sweep(slices: readonly HeadSlice[], chunks: readonly Chunk[], scale: number, training: boolean): Promise<void> {
    const pager = this.#model.pager!;
    for (const { page, first, weight } of slices) {
      await pager.use(page);
      for (const chunk of chunks) this.#exponentials(weight, first, chunk);
    }
    if (!training) {
      for (const chunk of chunks) this.#entropy(chunk, 0, 0, scale);
      return;
    }
    for (const [i, { page, first, weight }] of [...slices].reverse().entries()) {
      await pager.use(page);
      for (const chunk of chunks) {
        this.#exponentials(weight, first, chunk);
        this.#entropy(chunk, first, weight.out, scale);
        multiplyBackward(this.#device, weight, this.#logits, chunk.d!, chunk.rows, i > 0);
      }
    }
    for (const chunk of chunks) {
      this.#norm(chunk);
      this.#device.run(copy, { x: chunk.d!, y: this.#gradient }, { n: chunk.rows * this.#model.shape.hiddenSize });
      this.#normBackward(chunk, chunk.d!);
    }
  }

  #norm({ x, rows }: Pick<Chunk, "x" | "rows">): void {
    const { hiddenSize: n, rmsNormEps: eps } = this.#model.shape;
    this.#device.run(rmsnorm, { x, weight: this.#model.norm, y: this.#normed, rstd: this.#rstd }, { rows, n, eps });
  }

  #normBackward({ x, rows }: Chunk, dx: Tensor): void {
    this.#device.run(rmsnormBackward, { dy: this.#gradient, x, weight: this.#model.norm, rstd: this.#rstd, dx }, { rows, n: this.#model.shape.hiddenSize, accumulate: 0 });
  }

  /** Logits of the columns from `first` on, as far as `weight` goes, made exponentials. */
  #exponentials(weight: Weight, first: number, chunk: Chunk): void {
    this.#norm(chunk);
    multiply(this.#device, weight, this.#normed, this.#logits, chunk.rows);
    this.#device.run(softmaxSlices, { targets: chunk.targetTensor, logits: this.#logits, ...chunk.found }, this.#columns(chunk, first, weight.out));
  }

  #entropy(chunk: Chunk, first: number, n: number, scale: number): void {
    this.#device.run(crossEntropy, { targets: chunk.targetTensor, ...chunk.found, logits: this.#logits, loss: chunk.loss }, { ...this.#columns(chunk, first, n), scale });
  }

  #columns({ rows }: Chunk, first: number, n: number) {
    return { rows, n, first, slice: this.#slice, vocab: this.#model.shape.vocabSize };
  }

  /** Logits of the rows [begin, begin + count), for tests and tools; count at most the chunk. */
  async logits(x: Tensor, begin: number, count: number): Promise<Float32Array> {
    const { head, pager, shape: { hiddenSize: n, vocabSize: vocab } } = this.#model;
    this.#norm({ x: viewTensor(x, [count, n], begin * n), rows: count });
    const all = new Float32Array(count * vocab);
    await pager?.begin(new Plan(pagesOf(head)));
    for (const { page, first, weight } of isSliced(head) ? head : [{ page: undefined, first: 0, weight: head }]) {
      if (page !== undefined) await pager!.use(page);
      multiply(this.#device, weight, this.#normed, this.#logits, count);
      const part = (await this.#device.read(viewTensor(this.#logits, [count, weight.out]))) as Float32Array;
      for (let row = 0; row < count; row++) all.set(part.subarray(row * weight.out, (row + 1) * weight.out), row * vocab + first);
    }
    return all;
  }
}

function columnsOf({ head, shape }: Llama): number {
  return isSliced(head) ? headSlice(shape) : shape.vocabSize;
}
