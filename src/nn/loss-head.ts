import { IGNORED } from "../data/labels.ts";
import type { Device } from "../device.ts";
import { crossEntropy, fill, rmsnorm, rmsnormBackward } from "../ops/index.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import type { Llama } from "./llama.ts";
import { multiply, multiplyBackward } from "./weight.ts";

const CHUNK_ROWS = 128; // 25 MB of logits at a vocabulary of 49,152; enough rows to reuse each panel of the head

/**
 * Final norm, head and cross-entropy, a chunk of rows at a time: [tokens, vocab] never exists.
 * Chunks without a target are skipped altogether.
 */
export class LossHead {
  readonly #model: Llama;
  readonly #device: Device;
  readonly #chunk: number;
  readonly #normed: Tensor; // f32[chunk, hidden], then its gradient
  readonly #gradient: Tensor; // f32[chunk, hidden]
  readonly #rstd: Tensor; // f32[chunk]
  readonly #logits: Tensor; // f32[chunk, vocab]

  constructor(model: Llama, rows: number) {
    this.#model = model;
    this.#device = model.device;
    this.#chunk = Math.min(CHUNK_ROWS, rows);
    const { hiddenSize, vocabSize } = model.shape;
    const make = (name: string, n: number): Tensor => this.#device.allocate("f32", [this.#chunk, n], `head.${name}`);
    this.#normed = make("normed", hiddenSize);
    this.#gradient = make("gradient", hiddenSize);
    this.#rstd = make("rstd", 1);
    this.#logits = make("logits", vocabSize);
  }

  static bytes(model: Llama, rows: number): number {
    return 4 * Math.min(CHUNK_ROWS, rows) * (2 * model.shape.hiddenSize + 1 + model.shape.vocabSize);
  }

  /**
   * @param x f32[rows, hidden], the output of the last layer.
   * @param targets host copy of `targetTensor`, to find chunks without one.
   * @param loss f32[rows], the negative log-likelihood of each row, 0 where ignored.
   * @param d f32[rows, hidden], the gradient of x when given; every target weighs `scale`.
   */
  run(x: Tensor, rows: number, targets: Int32Array, targetTensor: Tensor, loss: Tensor, scale: number, d?: Tensor): void {
    for (let begin = 0; begin < rows; begin += this.#chunk) {
      const count = Math.min(this.#chunk, rows - begin);
      if (targets.subarray(begin, begin + count).every((target) => target === IGNORED)) this.#skip(begin, count, loss, d);
      else this.#chunkLoss(x, begin, count, targetTensor, loss, scale, d);
    }
  }

  #skip(begin: number, count: number, loss: Tensor, d?: Tensor): void {
    const { hiddenSize } = this.#model.shape;
    this.#device.run(fill, { y: viewTensor(loss, [count], begin) }, { n: count, value: 0 });
    if (d) this.#device.run(fill, { y: viewTensor(d, [count, hiddenSize], begin * hiddenSize) }, { n: count * hiddenSize, value: 0 });
  }

  #chunkLoss(x: Tensor, begin: number, count: number, targetTensor: Tensor, loss: Tensor, scale: number, d?: Tensor): void {
    const { hiddenSize: n, vocabSize: vocab, rmsNormEps: eps } = this.#model.shape;
    const from = viewTensor(x, [count, n], begin * n);
    this.#device.run(rmsnorm, { x: from, weight: this.#model.norm, y: this.#normed, rstd: this.#rstd }, { rows: count, n, eps });
    multiply(this.#device, this.#model.head, this.#normed, this.#logits, count);
    const operands = { targets: viewTensor(targetTensor, [count], begin), logits: this.#logits, loss: viewTensor(loss, [count], begin) };
    this.#device.run(crossEntropy, operands, { rows: count, vocab, backward: d ? 1 : 0, scale });
    if (!d) return;
    multiplyBackward(this.#device, this.#model.head, this.#logits, this.#gradient, count, false);
    this.#device.run(rmsnormBackward, { dy: this.#gradient, x: from, weight: this.#model.norm, rstd: this.#rstd, dx: viewTensor(d, [count, n], begin * n) }, { rows: count, n, accumulate: 0 });
  }

  /** Logits of the rows [begin, begin + count), for tests and tools; count at most the chunk. */
  async logits(x: Tensor, begin: number, count: number): Promise<Float32Array> {
    const { hiddenSize: n, vocabSize: vocab, rmsNormEps: eps } = this.#model.shape;
    this.#device.run(rmsnorm, { x: viewTensor(x, [count, n], begin * n), weight: this.#model.norm, y: this.#normed, rstd: this.#rstd }, { rows: count, n, eps });
    multiply(this.#device, this.#model.head, this.#normed, this.#logits, count);
    return (await this.#device.read(viewTensor(this.#logits, [count, vocab]))) as Float32Array;
  }

  dispose(): void {
    for (const tensor of [this.#normed, this.#gradient, this.#rstd, this.#logits]) this.#device.free(tensor);
  }
}
