import type { Device } from "../device.ts";
import type { Checkpoint, DenseTensor, WeightTensor } from "../format/checkpoint.ts";
import { FLOAT_NAMES, ModelWriter, type TensorPlan } from "../format/model-writer.ts";
import type { SinkFolder } from "../io/types.ts";
import { Quantizer } from "../quant/quantizer.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { copyQuantized, isStoredAs } from "./copy-quantized.ts";
import type { DifferenceMeter } from "./difference.ts";
import { writeModelFiles } from "./model-folder.ts";
import { quantizedSource } from "./quantized-source.ts";
import type { LoadQuantization } from "./quantize-while-loading.ts";
import { CHUNK, dequantizeChunks, readAsF32 } from "./read-tensor.ts";
import { QuantizedTarget } from "./write-quantized.ts";
import { DenseTarget, type NanPolicy, type TargetOptions, type TensorTarget } from "./write-tensor.ts";

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

interface Buffers {
  readonly values: Tensor; // f32[CHUNK]
  readonly staging: Tensor; // bf16[CHUNK], for f16 and bf16
  /** f32[CHUNK], when rounding is measured. */
  readonly stored: Tensor | undefined;
}

/** Values before and after, to be compared on the host. */
type HostPair = readonly [before: Float32Array, after: Float32Array];

/** Absmax values of 256 MiB of float32. */
const KEPT_BLOCKS = 2 ** 20;

/** Moves tensors through one set of buffers. */
class Converter {
  readonly #options: ConvertOptions;
  readonly #items: readonly TensorItem[];
  readonly #target: TargetOptions;
  readonly #total: number;
  readonly #quantizers = new Map<string, Quantizer>();
  /** What is read, one chunk after the other. */
  readonly #into = new Uint8Array(4 * CHUNK);
  /** Not while rounding is measured: then the constants must be known when the values pass by. */
  readonly #keep: Float32Array | undefined;
  readonly #host: HostPair | undefined;
  #done = 0;

  constructor(options: ConvertOptions, writer: ModelWriter, items: readonly TensorItem[]) {
    this.#options = options;
    this.#items = items;
    this.#target = { device: options.device, writer, where: options.checkpoint.name, nan: options.nan, capacity: CHUNK, host: new ArrayBuffer(4 * CHUNK) };
    this.#total = bytesOfAll(items);
    this.#keep = options.meters ? undefined : new Float32Array(KEPT_BLOCKS);
    this.#host = options.meters && [new Float32Array(CHUNK), new Float32Array(CHUNK)];
  }

  async run(): Promise<void> {
    const { device, meters } = this.#options;
    const buffers: Buffers = {
      values: device.allocate("f32", [CHUNK], "values"), staging: device.allocate("bf16", [CHUNK], "staging"),
      stored: meters && device.allocate("f32", [CHUNK], "stored values"),
    };
    try {
      for (const item of this.#items) {
        await this.#one(item, buffers);
        this.#done += item.source.storageBytes;
      }
    } finally {
      for (const tensor of Object.values(buffers) as (Tensor | undefined)[]) if (tensor) device.free(tensor);
      for (const quantizer of this.#quantizers.values()) quantizer.dispose();
    }
  }

  async #one(item: TensorItem, buffers: Buffers): Promise<void> {
    const { device, signal } = this.#options;
    const { plan, quantization } = item;
    const source = quantization && item.source.kind === "dense" ? await quantizedSource(device, item.source, buffers.staging, quantization, signal) : item.source;
    if (!item.edit && source.kind === "dense" && plan.kind === "dense" && plan.dtype === FLOAT_NAMES[source.dtype]) return this.#copy(source, new DenseTarget(this.#target, plan));
    if (!item.edit && source.kind === "bnb4" && plan.kind === "4bit" && isStoredAs(source.state, plan)) return copyQuantized(this.#target, source, signal, (part) => this.#progress(item.source, part));
    const edit = item.edit?.();
    try {
      await this.#convert(source, this.#targetOf(plan), edit, buffers);
    } finally {
      edit?.dispose();
    }
  }

  async #convert(source: WeightTensor, target: TensorTarget, edit: Edit | undefined, buffers: Buffers): Promise<void> {
    const n = elementsOf(source.shape);
    try {
      for (let round = 1; round <= target.rounds; round++) {
        if (round > 1) target.nextRound();
        await this.#read(source, buffers, async (at, chunk) => {
          await this.#edit(source.name, edit, buffers.values, at, chunk, round);
          await target.put(buffers.values, at, chunk);
          if (round === target.rounds) await this.#measureRounding(source.name, target, buffers, chunk);
          this.#progress(source, (round - 1 + (at + chunk) / n) / target.rounds);
        });
      }
      await target.finish();
    } finally {
      target.dispose();
    }
  }

  #read(source: WeightTensor, { values, staging }: Buffers, after: (at: number, chunk: number) => Promise<void>): Promise<void> {
    const { device, signal } = this.#options;
    // A chunk is whole blocks and whole nested blocks of every blocksize.
    if (source.kind === "bnb4") return dequantizeChunks(device, source, () => values, signal, after, CHUNK);
    return readAsF32(device, source, staging, () => values, signal, after, CHUNK, this.#into);
  }

  async #edit(name: string, edit: Edit | undefined, values: Tensor, at: number, n: number, round: number): Promise<void> {
    const meter = round === 1 ? this.#options.meters?.change : undefined;
    const before = edit && meter && (await this.#read32(values, n, 0));
    edit?.apply(values, at, n);
    if (before) meter.add(name, before, await this.#read32(values, n, 1));
  }

  async #measureRounding(name: string, target: TensorTarget, { values, stored }: Buffers, n: number): Promise<void> {
    const meter = this.#options.meters?.rounding;
    if (!meter || !stored) return;
    target.stored(stored, n);
    meter.add(name, await this.#read32(values, n, 0), await this.#read32(stored, n, 1));
  }

  async #read32(values: Tensor, n: number, side: 0 | 1): Promise<Float32Array> {
    return (await this.#options.device.read(viewTensor(values, [n]), this.#host?.[side])) as Float32Array;
  }

  #targetOf(plan: TensorPlan): TensorTarget {
    if (plan.kind === "dense") return new DenseTarget(this.#target, plan);
    const key = `${plan.quantType} ${plan.blocksize}`;
    const quantizer = this.#quantizers.get(key) ?? new Quantizer(this.#options.device, plan.quantType, plan.blocksize);
    this.#quantizers.set(key, quantizer);
    return new QuantizedTarget(this.#target, plan, quantizer, { offset: this.#options.nestedOffsets?.get(plan.name), keep: this.#keep });
  }

  async #copy(source: DenseTensor, target: DenseTarget): Promise<void> {
    const n = elementsOf(source.shape);
    for (let at = 0; at < n; at += CHUNK) {
      this.#options.signal?.throwIfAborted();
      const end = Math.min(at + CHUNK, n);
      await target.putHost(await source.read(at, end, this.#into), at);
      this.#progress(source, end / n);
    }
    target.dispose();
  }

  #progress({ name, storageBytes }: WeightTensor, part: number): void {
    const { phase, onProgress } = this.#options;
    onProgress?.({ phase, tensor: name, done: this.#done + Math.round(storageBytes * part), total: this.#total });
  }
}
