import type { Device } from "../device.ts";
import { ShapeError } from "../errors.ts";
import { quantizationConfig } from "../format/bnb-config.ts";
import type { Checkpoint, WeightTensor } from "../format/checkpoint.ts";
import { FLOAT_NAMES, type FloatDtype, type TensorPlan } from "../format/model-writer.ts";
import { readAdapter, type Adapter } from "../format/peft.ts";
import { linearsOf } from "../format/weights.ts";
import type { SinkFolder, SourceFolder } from "../io/types.ts";
import type { LoraModule } from "../nn/lora.ts";
import { BLOCKSIZES } from "../ops/blocksize.ts";
import { checkAdapter, modulesAmong } from "./attach-adapter.ts";
import { convertModel, type ModelSizes, type TensorItem, type TensorProgress } from "./convert-model.ts";
import { DifferenceMeter, type Difference, type TensorDifference } from "./difference.ts";
import { LoraDelta } from "./lora-delta.ts";
import { configOf, wholeOrNothing } from "./model-folder.ts";
import { openModel } from "./open-model.ts";
import { quantizationOf } from "./quantize-while-loading.ts";
import type { QuantizeOnLoad } from "./train-options.ts";
import type { NanPolicy } from "./write-tensor.ts";

export type MergeDtype = FloatDtype | "nf4" | "fp4";

export interface MergeOptions {
  /** Of the merged model, default `bf16`. With `nf4` and `fp4` linears are quantized again and the rest keeps its dtype. */
  readonly dtype?: MergeDtype | undefined;
  /**
   * For a base that is not in 4 bits: merge into what it becomes when it is quantized so, as an adapter that was trained
   * over it expects; default `none`, into the weights as they are stored.
   */
  readonly quantize?: QuantizeOnLoad | undefined;
  /** Of 4-bit weights that are made here. Default: the base's own, else 64. */
  readonly blocksize?: number | undefined;
  /** Of 4-bit weights that are made here. Default: as the base, else true. */
  readonly doubleQuant?: boolean | undefined;
  /** NaN and infinity among the base's weights: refuse (default), or go on. */
  readonly nan?: NanPolicy | undefined;
}

export interface MergeCall extends MergeOptions {
  readonly model: SourceFolder;
  /** A folder with PEFT's files. */
  readonly adapter: SourceFolder;
  readonly output: SinkFolder;
  readonly device: Device;
  readonly onProgress?: ((event: TensorProgress) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface MergeResult extends ModelSizes {
  /** Linears that the adapter changed. */
  readonly merged: number;
  /** What the adapter changed, over those linears: rounding that is not well below it takes some of the training away. */
  readonly change: Difference;
  /** What rounding to the output's dtype adds, over the tensors that it changes. */
  readonly rounding: Difference;
  /** The tensor that rounding changes most, relative to its size; undefined when it changes none. */
  readonly worst: TensorDifference | undefined;
  /** What a user should know, in sentences. */
  readonly notes: readonly string[];
}

/**
 * A model with an adapter in its weights: W + scaling · B · A in f32, then rounded once, to the output's dtype.
 * Streams: memory does not grow with the model. The output appears whole, or not at all.
 * @throws ShapeError for an option, FormatError for the model, or for an adapter of another one, MemoryError for a full disk.
 */
export function merge(call: MergeCall): Promise<MergeResult> {
  return wholeOrNothing(call.output, async () => {
    checkOptions(call);
    const adapter = await readAdapter(call.adapter);
    const checkpoint = await openModel(call.model);
    try {
      return await mergeInto(checkpoint, adapter, call);
    } finally {
      await checkpoint.close();
    }
  });
}

function checkOptions({ dtype, quantize, blocksize, doubleQuant, nan }: MergeOptions): void {
  const oneOf = (name: string, value: unknown, allowed: readonly unknown[]): void => {
    if (value !== undefined && !allowed.includes(value)) throw new ShapeError("merge", name, { expected: allowed.join(", "), got: value });
  };
  oneOf("dtype", dtype, ["f32", "f16", "bf16", "nf4", "fp4"]);
  oneOf("quantize", quantize, ["nf4", "fp4", "none"]);
  oneOf("blocksize", blocksize, BLOCKSIZES);
  oneOf("doubleQuant", doubleQuant, [true, false]);
  oneOf("nan", nan, ["refuse", "keep"]);
}

async function mergeInto(checkpoint: Checkpoint, adapter: Adapter, call: MergeCall): Promise<MergeResult> {
  const { device, output, signal, onProgress, nan = "refuse" } = call;
  const linears = linearsOf(checkpoint.tensors);
  const modules = modulesAmong(new Map([...linears].map(([path, { shape: [out, width] }]) => [path, { out, in: width }])), adapter.config);
  checkAdapter(call.adapter.name, modules, adapter.tensors);
  const items = itemsOf(checkpoint, adapter, modules, call);
  const [change, rounding] = [new DifferenceMeter(), new DifferenceMeter()];
  const sizes = await convertModel(items, { phase: "merge", checkpoint, config: configFor(checkpoint, items, call), output, device, nan, meters: { change, rounding }, signal, onProgress });
  const result = { ...sizes, merged: modules.length, change: change.total(), rounding: rounding.total(), worst: rounding.worst() };
  return { ...result, notes: notesOf(result, call) };
}

function notesOf({ tokenizer, change, rounding }: Omit<MergeResult, "notes">, { dtype = "bf16" }: MergeOptions): string[] {
  return [
    ...(tokenizer ? [] : ["The base has no tokenizer, so the output has none: training and generating need one."]),
    ...(change.max === 0 ? ["The adapter changes nothing: its B matrices are 0, as before training."] : []),
    ...(change.max > 0 && rounding.relativeRms > change.relativeRms / 2 ? [`Rounding to ${dtype} is not small beside what the adapter changed, and may undo a part of it; ${dtype === "bf16" || dtype === "f16" ? "f32 keeps" : "bf16 and f32 keep"} more.`] : []),
  ];
}

function itemsOf(checkpoint: Checkpoint, adapter: Adapter, modules: readonly LoraModule[], call: MergeCall): TensorItem[] {
  const byWeight = new Map(modules.map((module) => [`${module.path}.weight`, module]));
  const linears = new Set([...linearsOf(checkpoint.tensors).values()]);
  // Where some weights are in 4 bits, those that are not were left out on purpose.
  const stored4bit = [...checkpoint.tensors.values()].some(({ kind }) => kind === "bnb4");
  const quantization = quantizationOf({ quantize: call.quantize ?? "none", blocksize: call.blocksize ?? 64, doubleQuant: call.doubleQuant ?? true });
  return [...checkpoint.tensors.values()].map((source) => {
    const module = byWeight.get(source.name);
    const linear = linears.has(source);
    const free = linear && !stored4bit; // its 4 bits, if any, are chosen here
    return {
      source, plan: planOf(source, { linear, adapted: module !== undefined, free, gguf: checkpoint.source === "gguf" }, call), quantization: free ? quantization : undefined,
      edit: module && (() => new LoraDelta(call.device, module, adapter.tensors.get(module.path)!)),
    };
  });
}

type Kind = { readonly linear: boolean; readonly adapted: boolean; readonly free: boolean; readonly gguf: boolean };

function planOf(source: WeightTensor, { linear, adapted, free, gguf }: Kind, { dtype = "bf16", blocksize, doubleQuant }: MergeOptions): TensorPlan {
  const { name, shape } = source;
  if (dtype !== "nf4" && dtype !== "fp4") return { kind: "dense", name, shape, dtype: FLOAT_NAMES[dtype] };
  if (source.kind === "bnb4") {
    const { state } = source;
    return { kind: "4bit", name, shape, quantType: linear ? dtype : state.quantType, dtype: adapted ? "float32" : state.dtype, blocksize: blocksize ?? state.blocksize, doubleQuant: doubleQuant ?? state.nested !== undefined };
  }
  if (!free) return { kind: "dense", name, shape, dtype: FLOAT_NAMES[gguf ? "f32" : source.dtype] };
  return { kind: "4bit", name, shape, quantType: dtype, dtype: "float32", blocksize: blocksize ?? 64, doubleQuant: doubleQuant ?? true };
}

function configFor(checkpoint: Checkpoint, items: readonly TensorItem[], { dtype = "bf16" }: MergeOptions): Record<string, unknown> {
  if (dtype !== "nf4" && dtype !== "fp4") return configOf(checkpoint, FLOAT_NAMES[dtype], {});
  const { quantization_config: stored, nibblelm_embeddings } = checkpoint.rawConfig;
  const skipModules = (stored as { llm_int8_skip_modules?: string[] | null } | undefined)?.llm_int8_skip_modules;
  const doubleQuant = items.some(({ plan }) => plan.kind === "4bit" && plan.doubleQuant);
  return configOf(checkpoint, undefined, {
    quantization_config: quantizationConfig({ quantType: dtype, doubleQuant, ...(skipModules ? { skipModules } : {}) }),
    ...(nibblelm_embeddings === undefined ? {} : { nibblelm_embeddings }),
  });
}
