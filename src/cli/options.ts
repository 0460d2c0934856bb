/**
 * Every option of every command, once. A flag is written `--lora-alpha`; `--lora_alpha`, Hugging Face's name in
 * files and JSON, works too; the library calls it `loraAlpha`. Defaults here are what `--help` shows.
 */
import { TRAIN_DEFAULTS } from "../commands/train-options.ts";
import type { Variant } from "../op.ts";
import { SAMPLING_DEFAULTS } from "../text/sampling.ts";

/** How the text after a flag becomes a value. */
interface Kinds {
  text: string;
  number: number;
  integer: number;
  /** `--x` is true and `--no-x` is false. */
  switch: boolean;
  /** `auto`, `true` or `false`; the bare flag is true. */
  tristate: boolean | "auto";
  /** A text, or nothing after the flag: then empty. */
  optional: string;
  threads: number | "auto";
  /** `64MB`, `1.5GiB`, or a number of bytes. */
  bytes: number;
  /** `1,2,auto` */
  threadCounts: (number | "auto")[];
  /** `f16,subgroups` */
  variants: Variant[];
  /** `q_proj,v_proj` */
  names: string[];
  /** `0,1,5` */
  integers: number[];
  /** `up_proj=8,down_proj=4` */
  pairs: Record<string, number>;
  /** `all-linear`, names, or a regular expression. */
  targets: string | string[];
  quantize: "nf4" | "fp4" | "none";
  optim: "adamw" | "paged_adamw";
  schedule: "constant" | "linear" | "cosine";
  device: "auto" | "wasm" | "webgpu";
  /** Hugging Face's long names too: `bfloat16`. */
  dtype: "f32" | "f16" | "bf16";
  mergeDtype: "f32" | "f16" | "bf16" | "nf4" | "fp4";
  blocksize: number;
  /** A file, a folder, or a name like `demo`: not empty. */
  path: string;
  quantType: "nf4" | "fp4";
  embeddings: "keep" | "nf4";
  nan: "refuse" | "keep";
}

export type Kind = keyof Kinds;

export const CHOICES: Partial<Record<Kind, readonly string[]>> = {
  tristate: ["auto", "true", "false"],
  quantize: ["nf4", "fp4", "none"],
  optim: ["adamw", "paged_adamw"],
  schedule: ["constant", "linear", "cosine"],
  device: ["auto", "wasm", "webgpu"],
  dtype: ["f32", "f16", "bf16"],
  mergeDtype: ["f32", "f16", "bf16", "nf4", "fp4"],
  quantType: ["nf4", "fp4"],
  embeddings: ["keep", "nf4"],
  nan: ["refuse", "keep"],
};

export interface OptionSpec {
  readonly kind: Kind;
  readonly group: Group;
  readonly help: string;
  /** Stands for the value in `--help`. */
  readonly hint?: string;
  readonly alias?: string;
  readonly default?: string | number | boolean;
}

/** What `--force` does where a result is a whole folder. */
export const REPLACE = "replace the output folder if it is there and holds a model";

export const GROUPS = ["Model and data", "Adapter", "Training", "Text", "Quantization", "Inspection", "Machine", "Output"] as const;
type Group = (typeof GROUPS)[number];

const D = TRAIN_DEFAULTS;
const S = SAMPLING_DEFAULTS;

export const OPTIONS = {
  model: { kind: "path", group: "Model and data", hint: "MODEL", help: "a model folder, a .gguf file, a Hub id (owner/name, owner/name@revision, owner/name:Q4_K_M), or demo: the small model inside the package" },
  data: { kind: "path", group: "Model and data", hint: "FILE", help: "a .txt or .jsonl file, or demo: Alice in Wonderland" },
  "eval-data": { kind: "path", group: "Model and data", hint: "FILE", help: "measure the loss on this file after training" },
  adapter: { kind: "path", group: "Model and data", hint: "DIR", help: "a LoRA adapter in PEFT's files: a folder or a Hub id" },
  "max-length": { kind: "integer", group: "Model and data", hint: "N", default: D.maxLength, help: "tokens of the longest sequence; a .txt is cut into windows of this length" },
  shuffle: { kind: "switch", group: "Model and data", default: true, help: "take the rows in the order of the file" },
  seed: { kind: "integer", group: "Model and data", hint: "N", default: D.seed, help: "the same seed gives the same result, to the bit" },

  r: { kind: "integer", group: "Adapter", hint: "N", default: D.r, help: "rank of the adapter" },
  "lora-alpha": { kind: "number", group: "Adapter", hint: "X", default: D.loraAlpha, help: "the adapter's output is scaled by alpha / r" },
  "lora-dropout": { kind: "number", group: "Adapter", hint: "P", default: D.loraDropout, help: "dropout on the adapter's input" },
  "use-rslora": { kind: "switch", group: "Adapter", default: false, help: "scale by alpha / √r instead" },
  "target-modules": { kind: "targets", group: "Adapter", hint: "NAMES", default: "all-linear", help: "all-linear, names (q_proj,v_proj), or a regular expression for module paths" },
  "exclude-modules": { kind: "targets", group: "Adapter", hint: "NAMES", help: "of these, leave out" },
  "layers-to-transform": { kind: "integers", group: "Adapter", hint: "N,N", help: "adapt only these layers" },
  "rank-pattern": { kind: "pairs", group: "Adapter", hint: "NAME=R", help: "another rank for some modules: up_proj=8,down_proj=4" },
  "alpha-pattern": { kind: "pairs", group: "Adapter", hint: "NAME=X", help: "another alpha for some modules" },
  "init-adapter": { kind: "path", group: "Adapter", hint: "DIR", help: "start from this adapter, with its r, alpha and targets" },
  "adapter-scale": { kind: "number", group: "Adapter", hint: "X", default: 1, help: "weaken or strengthen the adapter" },

  "learning-rate": { kind: "number", group: "Training", hint: "X", default: D.learningRate, help: "peak learning rate" },
  "lr-scheduler-type": { kind: "schedule", group: "Training", default: D.lrSchedulerType, help: "how it falls after the warm-up" },
  "warmup-steps": { kind: "integer", group: "Training", hint: "N", help: "steps in which it rises; instead of the ratio" },
  "warmup-ratio": { kind: "number", group: "Training", hint: "X", default: 0.03, help: "the same as a part of all steps" },
  "weight-decay": { kind: "number", group: "Training", hint: "X", default: D.weightDecay, help: "AdamW's weight decay" },
  "max-grad-norm": { kind: "number", group: "Training", hint: "X", default: D.maxGradNorm, help: "clip gradients at this norm; 0 does not clip" },
  "max-steps": { kind: "integer", group: "Training", hint: "N", help: "optimizer steps; instead of epochs" },
  "num-train-epochs": { kind: "number", group: "Training", hint: "X", default: D.numTrainEpochs, help: "times through the data" },
  "per-device-train-batch-size": { kind: "integer", group: "Training", hint: "N", default: D.perDeviceTrainBatchSize, help: "sequences computed together" },
  "per-device-eval-batch-size": { kind: "integer", group: "Model and data", hint: "N", default: 1, help: "sequences computed together" },
  "gradient-accumulation-steps": { kind: "integer", group: "Training", hint: "N", default: D.gradientAccumulationSteps, help: "batches in one optimizer step" },
  "gradient-checkpointing": { kind: "tristate", group: "Training", default: "auto", help: "recompute activations to save memory; auto does when they would take over 1 GiB" },
  "activation-offloading": { kind: "switch", group: "Training", default: false, help: "keep the layers' inputs in host memory between forward and backward (implies gradient checkpointing); done by itself when they do not fit" },
  optim: { kind: "optim", group: "Training", default: D.optim, help: "paged_adamw keeps AdamW's states in host memory; adamw does so only when they do not fit. Same results" },
  "save-steps": { kind: "integer", group: "Training", hint: "N", default: D.saveSteps, help: "save a checkpoint every N steps; 0 saves only the result" },
  resume: { kind: "optional", group: "Training", hint: "[PATH]", help: "go on from a checkpoint; without PATH from the newest of the output folder. Options not given are the checkpoint's" },

  prompt: { kind: "text", group: "Text", alias: "p", hint: "TEXT", help: "text to continue" },
  chat: { kind: "switch", group: "Text", default: false, help: "the prompt is a message to the model: use its chat template" },
  "max-new-tokens": { kind: "integer", group: "Text", hint: "N", default: 128, help: "stop after so many tokens" },
  temperature: { kind: "number", group: "Text", hint: "X", default: S.temperature, help: "0 always takes the most likely token; 0.7 to 1 is lively" },
  "top-k": { kind: "integer", group: "Text", hint: "N", default: S.topK, help: "choose among the N most likely tokens; 0: among all" },
  "top-p": { kind: "number", group: "Text", hint: "P", default: S.topP, help: "choose among the fewest tokens that together reach this probability" },
  "repetition-penalty": { kind: "number", group: "Text", hint: "X", default: S.repetitionPenalty, help: "above 1 makes tokens that already occurred less likely" },
  stop: { kind: "text", group: "Text", hint: "TEXT", help: "end before this text (\\n is a new line)" },

  quantize: { kind: "quantize", group: "Quantization", help: "4-bit type for a base that is not in 4 bits yet, made while it is loaded; the file stays as it is" },
  type: { kind: "quantType", group: "Quantization", default: "nf4", help: "4-bit type of the linears" },
  blocksize: { kind: "blocksize", group: "Quantization", hint: "N", default: D.blocksize, help: "weights that share one scale: 32, 64, … 4096" },
  "double-quant": { kind: "switch", group: "Quantization", default: true, help: "keep the scales in 32 bits: 4.5 instead of 4.127 bits a weight" },
  dtype: { kind: "dtype", group: "Quantization", help: "data type of embeddings, norms and head (default: as stored; from GGUF f32)" },
  embeddings: { kind: "embeddings", group: "Quantization", default: "keep", help: "nf4 quantizes the embedding too; Transformers cannot load that" },
  "skip-modules": { kind: "names", group: "Quantization", hint: "NAMES", help: "linears to leave as they are, as llm_int8_skip_modules: gate_proj,model.layers.0" },
  nan: { kind: "nan", group: "Quantization", default: "refuse", help: "what to do with a model that has NaN or infinity among its weights" },

  error: { kind: "switch", group: "Inspection", default: false, help: "what every resolution from f32 down to 4 bits would cost in size and error" },
  all: { kind: "switch", group: "Inspection", default: false, help: "a line for every tensor, equal layers too" },

  device: { kind: "device", group: "Machine", default: "auto", help: "where to compute" },
  threads: { kind: "threads", group: "Machine", hint: "N", default: "auto", help: "threads; auto leaves one core free" },
  polite: { kind: "switch", group: "Machine", default: false, help: "rank below all other programs, and give up threads while they want the CPU" },
  "cpu-share": { kind: "number", group: "Machine", hint: "X", default: 1, help: "the most of the CPU to use: 0.5 is half of it" },
  "gpu-memory": { kind: "bytes", group: "Machine", hint: "BYTES", help: "the most GPU memory for everything; a base that does not fit is paged from host memory (64MB, 1.5GiB)" },
  "gpu-frames": { kind: "integer", group: "Machine", hint: "N", help: "pages of the base (a layer, or a slice of the head) on the GPU at a time, at least 2" },
  "gpu-variants": { kind: "variants", group: "Machine", hint: "NAMES", help: "f16 (matrix products staged in half precision), subgroups (sums by subgroups), or both: where the GPU has them; results change a little" },
  "host-memory": { kind: "bytes", group: "Machine", hint: "BYTES", help: "the most memory of the whole process (on a GPU: for all that is paged); what does not fit is paged from its file, or to one in the output folder" },
  "relaxed-simd": { kind: "switch", group: "Machine", default: true, help: "without fused multiply-add: slower, results equal on every CPU" },

  port: { kind: "integer", group: "Machine", hint: "N", default: 4142, help: "port on this computer; 0 takes any that is free" },

  "output-dir": { kind: "path", group: "Output", alias: "o", hint: "DIR", help: "folder for the result" },
  force: { kind: "switch", group: "Output", default: false, help: "use the output folder though it exists" },
  size: { kind: "names", group: "Machine", hint: "SIZE,SIZE", help: "sizes to measure, spelled as the report spells them: 4096x4096, 512x1536x576" },
  compare: { kind: "path", group: "Output", hint: "FILE", help: "compare with what an earlier --json FILE kept" },
  json: { kind: "switch", group: "Output", default: false, help: "JSON lines on stdout, all else on stderr" },
} as const satisfies Record<string, OptionSpec>;

export type Flag = keyof typeof OPTIONS;

/** Where a command differs from the table. */
export type Differences<F extends Flag> = Partial<Record<F, Partial<Pick<OptionSpec, "kind" | "default" | "help" | "hint">>>>;

/** The option as the table has it, or as a command that differs does. */
export function optionOf(flag: Flag, differs?: Differences<Flag>): OptionSpec {
  return { ...OPTIONS[flag], ...differs?.[flag] };
}

type Camel<S extends string> = S extends `${infer Head}-${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;

/** What a command gets: API names, typed; undefined where the flag was not given. */
export type Values<F extends Flag, D extends Differences<F> = {}> = { readonly [K in F as Camel<K>]?: Kinds[KindOf<K, D>] | undefined };

type KindOf<K extends Flag, D> = D extends Record<K, { readonly kind: infer Own extends Kind }> ? Own : (typeof OPTIONS)[K]["kind"];

/** `lora-alpha` → `loraAlpha` */
export function apiName(flag: string): string {
  return flag.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
}

/** `lora_alpha` and `loraAlpha` → `lora-alpha`, if there is such an option. */
export function flagOf(name: string): Flag | undefined {
  const flag = name.replaceAll("_", "-").replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  return Object.hasOwn(OPTIONS, flag) ? (flag as Flag) : undefined;
}
