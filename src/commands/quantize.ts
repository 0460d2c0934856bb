import type { Device } from "../device.ts";
import { FormatError, ShapeError } from "../errors.ts";
import { quantizationConfig } from "../format/bnb-config.ts";
import type { Checkpoint, DenseTensor } from "../format/checkpoint.ts";
import { FLOAT_NAMES, type FloatDtype, type TensorPlan } from "../format/model-writer.ts";
import { linearsOf } from "../format/weights.ts";
import type { SinkFolder, SourceFolder } from "../io/types.ts";
import { BLOCKSIZES } from "../ops/blocksize.ts";
import { convertModel, type ModelSizes, type TensorProgress } from "./convert-model.ts";
import { configOf, wholeOrNothing } from "./model-folder.ts";
import { openModel } from "./open-model.ts";
import type { NanPolicy } from "./write-tensor.ts";

export interface QuantizeOptions {
  /** Default `nf4`. */
  readonly type?: "nf4" | "fp4";
  /** Values that share one scale; default 64. */
  readonly blocksize?: number;
  /** Quantize the scales too; default true. */
  readonly doubleQuant?: boolean;
  /** Of embeddings, norms and head. Default: as stored, f32 from GGUF. */
  readonly dtype?: FloatDtype | undefined;
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

export interface QuantizeResult extends ModelSizes {
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
  oneOf("dtype", settings.dtype, [undefined, "f32", "f16", "bf16"]);
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
  const config = configOf(checkpoint, dtype && FLOAT_NAMES[dtype], {
    quantization_config: quantizationConfig({ quantType, doubleQuant, ...(settings.skipModules?.length ? { skipModules: [...settings.skipModules, "lm_head"] } : {}) }),
    ...(embeddings === "nf4" ? { nibblelm_embeddings: "nf4" } : {}),
  });
  const { device, output, signal, onProgress } = call;
  const items = sources.map((source, i) => ({ source, plan: plans[i] }));
  const sizes = await convertModel(items, {
    phase: "quantize", checkpoint, config, output, device, nan: settings.nan, nestedOffsets: settings.nestedOffsets, signal, onProgress,
  });
  return { ...sizes, quantized: plans.filter(({ kind }) => kind === "4bit").length, notes: notesOf(settings, sizes) };
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

function planOf({ name, shape, dtype: stored }: DenseTensor, settings: Settings, gguf: boolean, quantized: ReadonlySet<string>): TensorPlan {
  const dtype = FLOAT_NAMES[settings.dtype ?? (gguf ? "f32" : stored)];
  const { type, blocksize, doubleQuant, embeddings } = settings;
  // What 4 bits dequantize to is float32, the compute dtype of the config: a bfloat16 here would round once more in some versions of bitsandbytes.
  if (quantized.has(name)) return { kind: "4bit", name, shape, dtype: "float32", quantType: type, blocksize, doubleQuant };
  if (name === EMBEDDING && embeddings === "nf4") return { kind: "4bit", name, shape, dtype: "float32", quantType: "nf4", blocksize, doubleQuant };
  return { kind: "dense", name, shape, dtype };
}

function notesOf({ embeddings, nan }: Settings, { tokenizer, bytesIn, bytesOut }: ModelSizes): string[] {
  return [
    ...(tokenizer ? [] : ["The source has no tokenizer, so the output has none: training and generating need one."]),
    ...(bytesOut > bytesIn ? ["Larger than the source: what is not in 4 bits (embedding, head, norms) is stored wider than there; dtype bf16 halves it."] : []),
    ...(embeddings === "nf4" ? ["The embedding is in 4 bits too, which Transformers cannot load."] : []),
    ...(nan === "keep" ? ["NaN and infinity among the weights, if there are any, were kept."] : []),
  ];
}
