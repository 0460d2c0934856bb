import type { Device } from "../device.ts";
import { rmsnorm } from "../ops/index.ts";
import { Plan } from "../pager/plan.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import { allocateActivations, allocateScratch, reserveScratch, widths, type LayerActivations, type LayerScratch } from "./activations.ts";
import type { Rotation } from "./decoder-layer.ts";
import { embed } from "./embedding.ts";
import { multiplyHead, pagesOf } from "./head.ts";
import type { Llama } from "./llama.ts";
import type { Span } from "./shape.ts";

const PREFILL_ROWS = 128;

/** One sequence, token by token, with a KV cache of fixed capacity: generation. */
export class DecodePass {
  readonly capacity: number;
  readonly model: Llama;
  readonly #device: Device;
  readonly #rows: number;
  readonly #kept: LayerActivations;
  readonly #scratch: LayerScratch;
  readonly #stream: readonly [Tensor, Tensor]; // f32[rows, hidden] each, taking turns
  readonly #cache: readonly { k: Tensor; v: Tensor }[]; // f32[capacity, kvHeads · headDim] each
  readonly #rotation: Rotation;
  readonly #ids: Tensor;
  readonly #normed: Tensor; // f32[1, hidden]
  readonly #rstd: Tensor; // f32[1]
  readonly #logits: Tensor; // f32[1, vocab]
  readonly #host: Float32Array; // the same, read
  readonly #layersPlan: Plan;
  readonly #wholePlan: Plan; // and the head
  #length = 0;

  /** @param capacity the most tokens, prompt and answer together. */
  constructor(model: Llama, capacity: number, rank: number) {
    const { device, shape } = model;
    this.model = model;
    this.#device = device;
    this.capacity = capacity;
    this.#rows = Math.min(PREFILL_ROWS, capacity);
    this.#kept = allocateActivations(device, shape, this.#rows, Math.max(rank, 1), "decode");
    this.#scratch = allocateScratch(device, shape, this.#rows, Math.max(rank, 1), false);
    const make = (name: string, n: number): Tensor => device.allocate("f32", [this.#rows, n], `decode.${name}`);
    this.#stream = [make("stream.0", shape.hiddenSize), make("stream.1", shape.hiddenSize)];
    const { kv } = widths(shape);
    this.#cache = model.layers.map((_, i) => ({
      k: device.allocate("f32", [capacity, kv], `cache.${i}.k`),
      v: device.allocate("f32", [capacity, kv], `cache.${i}.v`),
    }));
    this.#rotation = { ...model.allocateRope(capacity), positions: device.allocate("i32", [this.#rows], "positions") };
    this.#ids = device.allocate("i32", [this.#rows], "ids");
    this.#normed = device.allocate("f32", [1, shape.hiddenSize], "decode.normed");
    this.#rstd = device.allocate("f32", [1], "decode.rstd");
    this.#logits = device.allocate("f32", [1, shape.vocabSize], "decode.logits");
    this.#host = new Float32Array(shape.vocabSize);
    const layers = model.layers.map((_, i) => i);
    this.#layersPlan = new Plan(layers);
    this.#wholePlan = new Plan([...layers, ...pagesOf(model.head)]);
    reserveScratch(device, shape, { batch: 1, length: this.#rows, keyLength: capacity }, false);
  }

  /** Tokens in the cache. */
  get length(): number { return this.#length; }

  /** Appends `ids` and returns the logits that follow the last one, f32[vocab], in an array that the next call fills again. */
  async append(ids: readonly number[]): Promise<Float32Array> {
    let out = this.#stream[0];
    let rows = 0;
    for (let at = 0; at < ids.length; at += this.#rows) {
      const part = Int32Array.from(ids.slice(at, at + this.#rows));
      rows = part.length;
      out = await this.#appendPart(part, at + rows < ids.length ? this.#layersPlan : this.#wholePlan);
    }
    const { hiddenSize: n, rmsNormEps: eps } = this.model.shape;
    const last = viewTensor(out, [1, n], (rows - 1) * n);
    this.#device.run(rmsnorm, { x: last, weight: this.model.norm, y: this.#normed, rstd: this.#rstd }, { rows: 1, n, eps });
    await multiplyHead(this.#device, this.model.pager, this.model.head, this.#normed, this.#logits);
    return (await this.#device.read(this.#logits, this.#host)) as Float32Array;
  }

  async #appendPart(ids: Int32Array, plan: Plan): Promise<Tensor> {
    await this.model.pager?.begin(plan);
    const { embedding, shape } = this.model;
    const { kv } = widths(shape);
    const begin = this.#length;
    const rows = ids.length;
    const span: Span = { batch: 1, length: rows, keyLength: begin + rows };
    this.#device.write(this.#ids, ids);
    this.#device.write(this.#rotation.positions, ids.map((_, i) => begin + i));
    await embed(this.#device, embedding, ids, this.#ids, this.#stream[0]);
    for (const [i, layer] of this.model.layers.entries()) {
      await this.model.pager?.use(i);
      const { k, v } = this.#cache[i];
      const kept = { ...this.#kept, k: viewTensor(k, [rows, kv], begin * kv), v: viewTensor(v, [rows, kv], begin * kv) };
      layer.forward(this.#device, span, this.#stream[i % 2], this.#stream[(i + 1) % 2], kept, this.#scratch, this.#rotation, undefined, k, v);
    }
    this.#length += rows;
    return this.#stream[this.model.layers.length % 2];
  }

  dispose(): void {
    this.model.pager?.release();
    const { h, ...kept } = this.#kept;
    const tensors = [...Object.values(kept), ...Object.values(h), ...Object.values(this.#scratch), ...this.#stream,
      ...this.#cache.flatMap(({ k, v }) => [k, v]), ...Object.values(this.#rotation), this.#ids, this.#normed, this.#rstd, this.#logits];
    for (const tensor of tensors) if (tensor) this.#device.free(tensor as Tensor);
  }
}
