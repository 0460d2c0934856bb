import type { Device } from "../device.ts";
import type { Bnb4Tensor, Checkpoint, DenseTensor, WeightTensor } from "../format/checkpoint.ts";
import { FLOAT_NAMES, ModelWriter, type TensorPlan } from "../format/model-writer.ts";
import type { SinkFolder } from "../io/types.ts";
import { Quantizer } from "../quant/quantizer.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { copyQuantized, isStoredAs } from "./copy-quantized.ts";
import type { DifferenceMeter } from "./difference.ts";
import { handled, HostMemory } from "./host-memory.ts";
import { InputBuffers } from "./input-buffers.ts";
import { writeModelFiles } from "./model-folder.ts";
import { quantizedSource } from "./quantized-source.ts";
import type { LoadQuantization } from "./quantize-while-loading.ts";
import { readAhead } from "./read-ahead.ts";
import { CHUNK, dequantizeChunks } from "./read-tensor.ts";
import { QuantizedTarget } from "./write-quantized.ts";
import { DenseTarget, type NanPolicy, type Store, type TargetOptions, type TensorTarget } from "./write-tensor.ts";

/** What becomes of one tensor. */
export interface TensorItem {
  readonly source: WeightTensor;
  readonly plan: TensorPlan;
  /** Quantize first what is not in 4 bits, in memory: the base as an adapter was trained on it. */
  readonly quantization?: LoadQuantization | undefined;
  /** Made when its tensor's turn comes. */
  readonly edit?: (() => Edit) | undefined;
}

/** Changes values on their way. */
export interface Edit {
  /** values: f32[n] on the device, elements [at, at + n) of the tensor. */
  apply(values: Tensor, at: number, n: number): void;
  dispose(): void;
}

export interface TensorProgress {
  readonly phase: string;
  readonly tensor: string;
  /** Bytes of the source. */
  readonly done: number;
  readonly total: number;
}

export interface ConvertOptions {
  readonly phase: string;
  readonly checkpoint: Checkpoint;
  /** config.json of the output. */
  readonly config: Record<string, unknown>;
  readonly output: SinkFolder;
  readonly device: Device;
  readonly nan: NanPolicy;
  /** By tensor: the offset of double quantization, instead of our own mean. */
  readonly nestedOffsets?: ReadonlyMap<string, number> | undefined;
  /** What edits change, and what rounding to the output's dtype adds. */
  readonly meters?: { readonly change: DifferenceMeter; readonly rounding: DifferenceMeter } | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((event: TensorProgress) => void) | undefined;
}

export interface ModelSizes {
  /** Of the weights in the source. */
  readonly bytesIn: number;
  /** Of the files of weights. */
  readonly bytesOut: number;
  readonly parameters: number;
  /** bytesOut · 8 / parameters. */
  readonly bitsPerParam: number;
  readonly tensors: number;
  /** Whether the source had a tokenizer, so that the output has one. */
  readonly tokenizer: boolean;
}

/** Writes a model folder with these tensors, and the tokenizer if the source has one. Memory does not grow with the model. */
export async function convertModel(items: readonly TensorItem[], options: ConvertOptions): Promise<ModelSizes> {
  const { checkpoint, config, output } = options;
  const tokenizer = await writeModelFiles(output, checkpoint, config);
  const writer = new ModelWriter(output, items.map(({ plan }) => plan));
  await new Converter(options, writer, items).run();
  const bytesOut = await writer.finish();
  const parameters = items.reduce((sum, { source }) => sum + elementsOf(source.shape), 0);
  return { bytesIn: bytesOfAll(items), bytesOut, parameters, bitsPerParam: (8 * bytesOut) / parameters, tensors: items.length, tokenizer };
}

function bytesOfAll(items: readonly TensorItem[]): number {
  return items.reduce((sum, { source }) => sum + source.storageBytes, 0);
}

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

/** Blocks and permuted rows of GGUF are read whole, so a little more than a chunk needs room. */
const ROOM = CHUNK + 2 ** 16;

/**
 * Moves tensors of floats through two sets of buffers: while a chunk is computed, the next one is read and the one before
 * is written. Chunks are written in order, one at a time. Other tensors are moved one by one.
 */
class Converter {
  readonly #options: ConvertOptions;
  readonly #items: readonly TensorItem[];
  readonly #target: TargetOptions;
  readonly #total: number;
  readonly #quantizers = new Map<string, Quantizer>();
  readonly #inputs: readonly [InputBuffers, InputBuffers];
  /** f32[CHUNK], when rounding is measured. */
  readonly #stored: Tensor | undefined;
  readonly #jobs = new Set<Job>();
  #done = 0;

  constructor(options: ConvertOptions, writer: ModelWriter, items: readonly TensorItem[]) {
    const { device, checkpoint, nan, meters } = options;
    this.#options = options;
    this.#items = items;
    this.#target = { device, writer, host: new HostMemory(), where: checkpoint.name, nan, capacity: CHUNK };
    this.#total = bytesOfAll(items);
    this.#inputs = [new InputBuffers(device, CHUNK), new InputBuffers(device, CHUNK)];
    this.#stored = meters && device.allocate("f32", [CHUNK], "stored values");
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
      else if (quantization) yield { move: async () => this.#move(item, await quantizedSource(this.#options.device, source, this.#inputs[0].halves, quantization, this.#options.signal)) };
      else yield* piecesOf(this.#begun(item, source));
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
    const room = this.#target.host.take((source.dtype === "f32" ? 4 : 2) * ROOM);
    return { values: await source.read(at, at + n, room), room };
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
      // A chunk is whole blocks and whole nested blocks of every blocksize.
      await dequantizeChunks(device, source, () => values, signal, async (at, n) => {
        await this.#put(job, values, at, n, round)();
        this.#progress(source, (round - 1 + (at + n) / elementsOf(source.shape)) / rounds);
      }, CHUNK);
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

function* piecesOf(job: Job<DenseTensor>): Generator<Piece> {
  const elements = elementsOf(job.source.shape);
  for (let round = 1; round <= job.target.rounds; round++) {
    for (let at = 0; at < elements; at += CHUNK) yield { job, round, at, n: Math.min(CHUNK, elements - at) };
  }
}

/** Values that are stored as they are. */
function isCopy(job: Job<DenseTensor>): job is Job<DenseTensor> & { readonly target: DenseTarget } {
  const { source, plan, edit } = job;
  return !edit && plan.kind === "dense" && plan.dtype === FLOAT_NAMES[source.dtype];
}
