import type { Bnb4Tensor, DenseTensor, WeightTensor } from "../format/checkpoint.ts";
import { FLOAT_NAMES, type ModelWriter, type TensorPlan } from "../format/model-writer.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
import { Quantizer } from "../quant/quantizer.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import type { ConvertOptions, Edit, TensorItem } from "./convert-model.ts";
import { copyQuantized, isStoredAs } from "./copy-quantized.ts";
import { handled, HostMemory } from "./host-memory.ts";
import { InputBuffers } from "./input-buffers.ts";
import { quantizedSource } from "./quantized-source.ts";
import { readAhead } from "./read-ahead.ts";
import { chunkUnit, dequantizeChunks } from "./read-tensor.ts";
import { QuantizedTarget } from "./write-quantized.ts";
import { DenseTarget, type Store, type TargetOptions, type TensorTarget } from "./write-tensor.ts";

/** A tensor on its way. */
interface Job<Source extends WeightTensor = WeightTensor> {
  readonly source: Source;
  readonly plan: TensorPlan;
  readonly target: TensorTarget;
  readonly edit: Edit | undefined;
}

/** Elements [at, at + n) of a tensor of floats, in one of the rounds that its target asks for. */
interface Piece {
  readonly job: Job<DenseTensor>;
  readonly round: number;
  readonly at: number;
  readonly n: number;
}

/** A tensor that is moved by itself. */
interface Whole {
  readonly move: () => Promise<void>;
}

interface HostValues {
  readonly values: Float32Array | Uint16Array;
  /** Where they lie, to be given back. */
  readonly room: ArrayBuffer;
}

/** Values of a piece: 2 MiB of float32 stay in a processor's cache on their way. */
const PIECE = 2 ** 19;
/** Blocks and permuted rows of GGUF are read whole, so a little more than a piece needs room. */
const MORE = 2 ** 16;

/** A piece is whole nested blocks of every tensor. */
function pieceOf(items: readonly TensorItem[]): number {
  return items.reduce((most, { plan, source }) => Math.max(most, plan.kind === "4bit" ? NESTED_BLOCKSIZE * plan.blocksize : 1, source.kind === "bnb4" ? chunkUnit(source) : 1), PIECE);
}

/**
 * Moves tensors of floats through two sets of buffers: while a chunk is computed, the next one is read and the one before
 * is written. Chunks are written in order, one at a time. Other tensors are moved one by one.
 */
export class Converter {
  readonly #options: ConvertOptions;
  readonly #items: readonly TensorItem[];
  readonly #target: TargetOptions;
  readonly #total: number;
  readonly #piece: number;
  readonly #quantizers = new Map<string, Quantizer>();
  readonly #inputs: readonly [InputBuffers, InputBuffers];
  /** f32[piece], when rounding is measured. */
  readonly #stored: Tensor | undefined;
  readonly #jobs = new Set<Job>();
  #done = 0;

  constructor(options: ConvertOptions, writer: ModelWriter, items: readonly TensorItem[]) {
    const { device, checkpoint, nan, meters } = options;
    this.#options = options;
    this.#items = items;
    this.#piece = pieceOf(items);
    this.#target = { device, writer, host: new HostMemory(), where: checkpoint.name, nan, capacity: this.#piece };
    this.#total = items.reduce((sum, { source }) => sum + source.storageBytes, 0);
    this.#inputs = [new InputBuffers(device, this.#piece), new InputBuffers(device, this.#piece)];
    this.#stored = meters && device.allocate("f32", [this.#piece], "stored values");
  }

  async run(): Promise<void> {
    let behind: Promise<void> | undefined; // storing the piece before
    let turn = 0;
    try {
      for await (const [piece, values] of readAhead(this.#pieces(), (next) => this.#read(next))) {
        this.#options.signal?.throwIfAborted();
        if ("move" in piece) {
          await behind;
          await piece.move();
          continue;
        }
        if (piece.round > 1 && piece.at === 0) {
          await behind;
          piece.job.target.nextRound();
        }
        turn = 1 - turn;
        const store = this.#begin(piece, values!, this.#inputs[turn]);
        await behind;
        behind = handled(store());
      }
      await behind;
    } finally {
      await behind?.catch(() => undefined);
      await this.#options.device.finish().catch(() => undefined); // what was queued when something else failed
      this.#dispose();
    }
  }

  *#pieces(): Generator<Piece | Whole> {
    for (const item of this.#items) {
      const { source, quantization } = item;
      if (source.kind === "bnb4") yield { move: () => this.#move(item, source) };
      else if (quantization) yield { move: async () => this.#move(item, await quantizedSource(this.#options.device, source, quantization, this.#options.signal)) };
      else yield* piecesOf(this.#begun(item, source), this.#piece);
    }
  }

  #begun<Source extends WeightTensor>({ plan, edit }: TensorItem, source: Source): Job<Source> {
    const job = { source, plan, target: this.#targetOf(plan), edit: edit?.() };
    this.#jobs.add(job);
    return job;
  }

  async #read(piece: Piece | Whole): Promise<HostValues | undefined> {
    if ("move" in piece) return undefined;
    const { job: { source }, at, n } = piece;
    const room = this.#target.host.take((source.dtype === "f32" ? 4 : 2) * (this.#piece + MORE));
    return { values: await source.read(at, at + n, new Uint8Array(room)), room };
  }

  /** Queues all there is to compute for a piece. */
  #begin({ job, round, at, n }: Piece, { values, room }: HostValues, input: InputBuffers): Store {
    const { source, target } = job;
    const store = isCopy(job) ? () => job.target.putHost(values, at) : this.#put(job, this.#upload(job, values, input), at, n, round);
    return async () => {
      await store();
      this.#target.host.give(room);
      const elements = elementsOf(source.shape);
      this.#progress(source, (round - 1 + (at + n) / elements) / target.rounds);
      if (round === target.rounds && at + n === elements) await this.#end(job);
    };
  }

  /** Quantizing takes every dtype as it is. */
  #upload({ source, plan, edit }: Job<DenseTensor>, values: HostValues["values"], input: InputBuffers): Tensor {
    const x = input.upload(values, source.dtype);
    return plan.kind === "4bit" && !edit && !this.#options.meters ? x : input.widen(x);
  }

  #put({ source: { name }, target, edit }: Job, values: Tensor, at: number, n: number, round: number): Store {
    const { meters } = this.#options;
    const compare = edit && round === 1 ? meters?.change : undefined;
    const before = compare && this.#host(values, n);
    edit?.apply(values, at, n);
    const after = compare && this.#host(values, n);
    const store = target.put(values, at, n);
    const rounding = round === target.rounds ? this.#measureRounding(target, values, n) : undefined;
    return async () => {
      if (before && after) compare.add(name, await before, await after);
      await store();
      if (rounding) meters!.rounding.add(name, ...(await rounding));
    };
  }

  #measureRounding(target: TensorTarget, values: Tensor, n: number): Promise<[Float32Array, Float32Array]> | undefined {
    if (!this.#stored) return undefined;
    target.stored(this.#stored, n);
    return handled(Promise.all([this.#host(values, n), this.#host(this.#stored, n)]));
  }

  #host(values: Tensor, n: number): Promise<Float32Array> {
    return handled(this.#options.device.read(viewTensor(values, [n])) as Promise<Float32Array>);
  }

  async #end(job: Job): Promise<void> {
    await job.target.finish();
    this.#release(job);
    this.#done += job.source.storageBytes;
  }

  #release(job: Job): void {
    job.target.dispose();
    job.edit?.dispose();
    this.#jobs.delete(job);
  }

  /** A tensor in 4 bits: byte by byte where it stays as it is. */
  async #move(item: TensorItem, source: Bnb4Tensor): Promise<void> {
    const { device, signal } = this.#options;
    if (!item.edit && item.plan.kind === "4bit" && isStoredAs(source.state, item.plan)) {
      await copyQuantized(this.#target, source, signal, (part) => this.#progress(source, part));
      this.#done += source.storageBytes;
      return;
    }
    const job = this.#begun(item, source);
    const { values } = this.#inputs[0];
    const { rounds } = job.target;
    for (let round = 1; round <= rounds; round++) {
      if (round > 1) job.target.nextRound();
      await dequantizeChunks(device, source, () => values, signal, async (at, n) => {
        await this.#put(job, values, at, n, round)();
        this.#progress(source, (round - 1 + (at + n) / elementsOf(source.shape)) / rounds);
      }, this.#piece);
    }
    await this.#end(job);
  }

  #targetOf(plan: TensorPlan): TensorTarget {
    if (plan.kind === "dense") return new DenseTarget(this.#target, plan);
    const key = `${plan.quantType} ${plan.blocksize}`;
    const quantizer = this.#quantizers.get(key) ?? new Quantizer(this.#options.device, plan.quantType, plan.blocksize);
    this.#quantizers.set(key, quantizer);
    // Rounding can be measured only when the constants are known while the values pass by.
    const keptBlocks = this.#options.meters ? { keptBlocks: 0 } : {};
    return new QuantizedTarget(this.#target, plan, quantizer, { offset: this.#options.nestedOffsets?.get(plan.name), ...keptBlocks });
  }

  #progress({ name, storageBytes }: WeightTensor, part: number): void {
    const { phase, onProgress } = this.#options;
    onProgress?.({ phase, tensor: name, done: this.#done + Math.round(storageBytes * part), total: this.#total });
  }

  #dispose(): void {
    for (const job of [...this.#jobs]) this.#release(job);
    for (const input of this.#inputs) input.dispose();
    if (this.#stored) this.#options.device.free(this.#stored);
    for (const quantizer of this.#quantizers.values()) quantizer.dispose();
  }
}

function* piecesOf(job: Job<DenseTensor>, size: number): Generator<Piece> {
  const elements = elementsOf(job.source.shape);
  for (let round = 1; round <= job.target.rounds; round++) {
    for (let at = 0; at < elements; at += size) yield { job, round, at, n: Math.min(size, elements - at) };
  }
}

/** Values that are stored as they are. */
function isCopy(job: Job<DenseTensor>): job is Job<DenseTensor> & { readonly target: DenseTarget } {
  const { source, plan, edit } = job;
  return !edit && plan.kind === "dense" && plan.dtype === FLOAT_NAMES[source.dtype];
}
