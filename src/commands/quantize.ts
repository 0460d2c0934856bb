import type { Device } from "../device.ts";
import { FormatError, ShapeError } from "../errors.ts";
import { quantizationConfig } from "../format/bnb-config.ts";
import type { Checkpoint, DenseTensor } from "../format/checkpoint.ts";
import { ModelWriter, type FloatName, type TensorPlan } from "../format/model-writer.ts";
import { linearsOf } from "../format/weights.ts";
import type { SinkFolder, SourceFolder } from "../io/types.ts";
import { BLOCKSIZES } from "../ops/blocksize.ts";
import { Quantizer } from "../quant/quantizer.ts";
import { elementsOf, type Tensor } from "../tensor.ts";
import { configOf, wholeOrNothing, writeModelFiles } from "./model-folder.ts";
import { openModel } from "./open-model.ts";
import { CHUNK, readAsF32 } from "./read-tensor.ts";
import { QuantizedTarget } from "./write-quantized.ts";
import { DenseTarget, type NanPolicy, type TargetOptions, type TensorTarget } from "./write-tensor.ts";

export interface QuantizeOptions {
  /** Default `nf4`. */
  readonly type?: "nf4" | "fp4";
  /** Values that share one scale; default 64. */
  readonly blocksize?: number;
  /** Quantize the scales too; default true. */
  readonly doubleQuant?: boolean;
  /** Of embeddings, norms and head, and what linears dequantize to. Default: as stored, float32 from GGUF. */
  readonly dtype?: FloatName | undefined;
  /** `nf4` quantizes the embedding too, which Transformers cannot load; default `keep`. */
  readonly embeddings?: "keep" | "nf4";
  /** Linears to leave as they are: ends of module paths, or regular expressions for their beginnings. The head always is. */
  readonly skipModules?: readonly string[] | undefined;
  /** NaN and infinity among the weights: refuse the model (default), or go on; their block, or nested block, becomes NaN. */
  readonly nan?: NanPolicy;
  /** By tensor: the offset of double quantization, instead of our own mean. */
  readonly nestedOffsets?: ReadonlyMap<string, number> | undefined;
}

export interface QuantizeCall extends QuantizeOptions {
  readonly model: SourceFolder;
  readonly output: SinkFolder;
  readonly device: Device;
  readonly onProgress?: ((event: TensorProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface TensorProgress {
  readonly phase: string;
  readonly tensor: string;
  /** Bytes of the source. */
  readonly done: number;
  readonly total: number;
}

export interface QuantizeResult {
  /** Of the weights in the source. */
  readonly bytesIn: number;
  /** Of the files of weights. */
  readonly bytesOut: number;
  readonly parameters: number;
  /** bytesOut · 8 / parameters. */
  readonly bitsPerParam: number;
  readonly tensors: number;
  /** Tensors in 4 bits. */
  readonly quantized: number;
  /** What a user should know, in sentences. */
  readonly notes: readonly string[];
}

type Settings = Required<Pick<QuantizeOptions, "type" | "blocksize" | "doubleQuant" | "embeddings" | "nan">> & QuantizeOptions;

/**
 * A model in 4 bits, in a folder that Transformers and bitsandbytes load. Streams: memory does not grow with the model.
 * The output appears whole, or not at all.
 * @throws ShapeError for an option, FormatError for the model, MemoryError for a full disk; the signal's reason when aborted.
 */
export function quantize(call: QuantizeCall): Promise<QuantizeResult> {
  return wholeOrNothing(call.output, async () => {
    const settings = checkedOptions(call);
    const checkpoint = await openModel(call.model);
    try {
      return await quantizeCheckpoint(call, settings, checkpoint);
    } finally {
      await checkpoint.close();
    }
  });
}

function checkedOptions(given: QuantizeOptions): Settings {
  const settings = { ...given, type: given.type ?? "nf4", blocksize: given.blocksize ?? 64, doubleQuant: given.doubleQuant ?? true, embeddings: given.embeddings ?? "keep", nan: given.nan ?? "refuse" };
  const oneOf = (name: string, value: unknown, allowed: readonly unknown[]): void => {
    if (!allowed.includes(value)) throw new ShapeError("quantize", name, { expected: allowed.filter((v) => v !== undefined).join(", "), got: value });
  };
  oneOf("type", settings.type, ["nf4", "fp4"]);
  oneOf("blocksize", settings.blocksize, BLOCKSIZES);
  oneOf("dtype", settings.dtype, [undefined, "float32", "float16", "bfloat16"]);
  oneOf("embeddings", settings.embeddings, ["keep", "nf4"]);
  oneOf("nan", settings.nan, ["refuse", "keep"]);
  return settings;
}

const EMBEDDING = "model.embed_tokens.weight";

async function quantizeCheckpoint(call: QuantizeCall, settings: Settings, checkpoint: Checkpoint): Promise<QuantizeResult> {
  const sources = denseTensors(checkpoint);
  const linears = [...linearsOf(checkpoint.tensors).keys()];
  const skipped = skippedModules(settings, linears);
  const quantized = new Set(linears.filter((path) => !skipped.has(path)).map((path) => `${path}.weight`));
  const plans = sources.map((source) => planOf(source, settings, checkpoint.source === "gguf", quantized));
  const { type: quantType, doubleQuant, embeddings, dtype } = settings;
  const config = configOf(checkpoint, dtype, {
    quantization_config: quantizationConfig({ quantType, doubleQuant, ...(settings.skipModules?.length ? { skipModules: [...settings.skipModules, "lm_head"] } : {}) }),
    ...(embeddings === "nf4" ? { nibblelm_embeddings: "nf4" } : {}),
  });
  const tokenizer = await writeModelFiles(call.output, checkpoint, config);
  const writer = new ModelWriter(call.output, plans);
  await new Conversion(call, settings, checkpoint, writer).all(sources, plans);
  const bytesOut = await writer.finish();
  const parameters = sources.reduce((sum, { shape }) => sum + elementsOf(shape), 0);
  return {
    bytesIn: sources.reduce((sum, { storageBytes }) => sum + storageBytes, 0), bytesOut, parameters, bitsPerParam: (8 * bytesOut) / parameters,
    tensors: sources.length, quantized: plans.filter(({ kind }) => kind === "4bit").length, notes: notesOf(settings, tokenizer),
  };
}

function denseTensors(checkpoint: Checkpoint): DenseTensor[] {
  return [...checkpoint.tensors.values()].map((tensor) => {
    if (tensor.kind === "dense") return tensor;
    throw new FormatError(`${checkpoint.name}: ${tensor.name}`, "model to quantize", {
      expected: "weights that are not in 4 bits yet", got: `${tensor.state.quantType} of blocksize ${tensor.state.blocksize}`,
      hint: "train, eval, generate and merge take this model as it is; to quantize it otherwise, start from the original",
    });
  });
}

/** Transformers' rule for llm_int8_skip_modules (should_convert_module), so that both agree on what is in 4 bits. */
function skippedModules({ skipModules = [] }: Settings, paths: readonly string[]): Set<string> {
  const skipped = new Set<string>();
  for (const key of skipModules) {
    let pattern: RegExp;
    try {
      pattern = new RegExp(`^(?:${key})(?:(?<=\\.)|(?=\\.|$))`);
    } catch (cause) {
      throw new ShapeError("quantize", "skipModules", { expected: "names or regular expressions", got: key, cause });
    }
    const matched = paths.filter((path) => path.endsWith(key) || pattern.test(path));
    if (!matched.length && key !== "lm_head") throw new ShapeError("quantize", "skipModules", { expected: `something that matches a module such as ${paths.at(-1)}`, got: key });
    for (const path of matched) skipped.add(path);
  }
  return skipped;
}

const NAMES = { f32: "float32", f16: "float16", bf16: "bfloat16" } as const;

function planOf({ name, shape, dtype: stored }: DenseTensor, settings: Settings, gguf: boolean, quantized: ReadonlySet<string>): TensorPlan {
  const dtype = settings.dtype ?? (gguf ? "float32" : NAMES[stored]);
  const { type, blocksize, doubleQuant, embeddings } = settings;
  if (quantized.has(name)) return { kind: "4bit", name, shape, dtype, quantType: type, blocksize, doubleQuant };
  if (name === EMBEDDING && embeddings === "nf4") return { kind: "4bit", name, shape, dtype, quantType: "nf4", blocksize, doubleQuant };
  return { kind: "dense", name, shape, dtype };
}

function notesOf({ embeddings, nan }: Settings, tokenizer: boolean): string[] {
  return [
    ...(tokenizer ? [] : ["The source has no tokenizer, so the output has none: training and generating need one."]),
    ...(embeddings === "nf4" ? ["The embedding is in 4 bits too, which Transformers cannot load."] : []),
    ...(nan === "keep" ? ["NaN and infinity among the weights, if there are any, were kept."] : []),
  ];
}

/** Moves tensors through one set of buffers. */
class Conversion {
  readonly #call: QuantizeCall;
  readonly #settings: Settings;
  readonly #options: TargetOptions;
  readonly #total: number;
  readonly #quantizers = new Map<string, Quantizer>();
  #done = 0;

  constructor(call: QuantizeCall, settings: Settings, checkpoint: Checkpoint, writer: ModelWriter) {
    this.#call = call;
    this.#settings = settings;
    this.#options = { device: call.device, writer, where: checkpoint.name, nan: settings.nan, capacity: CHUNK };
    this.#total = [...checkpoint.tensors.values()].reduce((sum, { storageBytes }) => sum + storageBytes, 0);
  }

  async all(sources: readonly DenseTensor[], plans: readonly TensorPlan[]): Promise<void> {
    const { device } = this.#call;
    const buffers = { values: device.allocate("f32", [CHUNK], "values"), staging: device.allocate("bf16", [CHUNK], "staging") };
    try {
      for (const [i, source] of sources.entries()) {
        await this.#one(source, plans[i], buffers);
        this.#done += source.storageBytes;
      }
    } finally {
      for (const tensor of Object.values(buffers)) device.free(tensor);
      for (const quantizer of this.#quantizers.values()) quantizer.dispose();
    }
  }

  async #one(source: DenseTensor, plan: TensorPlan, { values, staging }: { values: Tensor; staging: Tensor }): Promise<void> {
    const { device, signal } = this.#call;
    if (plan.kind === "dense" && plan.dtype === NAMES[source.dtype]) return this.#copy(source, new DenseTarget(this.#options, plan));
    const target = this.#targetOf(plan);
    try {
      do {
        await readAsF32(device, source, staging, () => values, signal, async (at, n) => {
          await target.put(values, at, n);
          this.#progress(source, at + n);
        });
      } while (target.nextRound());
      await target.finish();
    } finally {
      target.dispose();
    }
  }

  #targetOf(plan: TensorPlan): TensorTarget {
    if (plan.kind === "dense") return new DenseTarget(this.#options, plan);
    const quantizer = this.#quantizers.get(plan.quantType) ?? new Quantizer(this.#call.device, plan.quantType, plan.blocksize);
    this.#quantizers.set(plan.quantType, quantizer);
    return new QuantizedTarget(this.#options, plan, quantizer, { offset: this.#settings.nestedOffsets?.get(plan.name) });
  }

  async #copy(source: DenseTensor, target: DenseTarget): Promise<void> {
    const n = elementsOf(source.shape);
    for (let at = 0; at < n; at += CHUNK) {
      this.#call.signal?.throwIfAborted();
      const end = Math.min(at + CHUNK, n);
      await target.putHost(await source.read(at, end), at);
      this.#progress(source, end);
    }
    target.dispose();
  }

  #progress({ name, shape, storageBytes }: DenseTensor, elements: number): void {
    const done = this.#done + Math.round((storageBytes * elements) / elementsOf(shape));
    this.#call.onProgress?.({ phase: "quantize", tensor: name, done, total: this.#total });
  }
}
