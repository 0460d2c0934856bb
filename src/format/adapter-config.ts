import { FormatError, ShapeError } from "../errors.ts";
import { pythonJson } from "./python-json.ts";

/** The part of PEFT's LoraConfig that computing depends on. */
export interface AdapterConfig {
  readonly r: number;
  readonly loraAlpha: number;
  readonly loraDropout: number;
  readonly useRslora: boolean;
  /** Suffixes of module paths, or one regular expression for whole paths, or `all-linear`. */
  readonly targetModules: readonly string[] | string;
  readonly excludeModules?: readonly string[] | string;
  readonly layersToTransform?: readonly number[];
  readonly layersPattern?: readonly string[];
  /** Regular expression for the end of a module path → r, or alpha, of the modules it matches; the first match counts. */
  readonly rankPattern: Readonly<Record<string, number>>;
  readonly alphaPattern: Readonly<Record<string, number>>;
  /** Name or path of the base model, for people. */
  readonly baseModel?: string;
}

type Json = Record<string, unknown>;

/** Values of options that we do not implement at which they do nothing. All others are refused by name. */
const NEUTRAL: Readonly<Record<string, readonly unknown[]>> = {
  peft_type: ["LORA"], task_type: [null, "CAUSAL_LM"], bias: ["none"], init_lora_weights: [true, false, "gaussian"],
};

/** What PEFT writes and does not matter here: where the adapter came from, and settings of options that are off. */
const INFORMATION = new Set([
  "peft_version", "inference_mode", "auto_mapping", "revision", "base_model_name_or_path", "megatron_core", "qalora_group_size", "runtime_config",
]);

const OURS = new Set([
  "r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern",
]);

/** Modules that PEFT adapts in a Llama when the file names none. */
const DEFAULT_TARGETS: readonly string[] = ["q_proj", "v_proj"];

/**
 * adapter_config.json as PEFT writes it; defaults are PEFT's.
 * @throws FormatError naming the key, also for every option that we do not implement.
 */
export function parseAdapterConfig(json: Json, where: string): AdapterConfig {
  if (json["peft_type"] === undefined) throw new FormatError(where, "peft_type", { expected: "LORA", got: "nothing" });
  refuseUnimplemented(json, where);
  if (isEmpty(json["target_modules"])) throw new FormatError(where, "target_modules", { expected: "at least one", got: "none" });
  const read = new Reader(json, where);
  const base = json["base_model_name_or_path"];
  const layers = json["layers_to_transform"];
  const optional = {
    excludeModules: read.names("exclude_modules"),
    layersToTransform: read.list("layers_to_transform", typeof layers === "number" ? [layers] : layers, (n) => Number.isInteger(n), "an integer or a list of integers") as number[] | undefined,
    layersPattern: read.list("layers_pattern", typeof json["layers_pattern"] === "string" ? [json["layers_pattern"]] : json["layers_pattern"], (s) => typeof s === "string", "a string or a list of strings") as string[] | undefined,
    baseModel: typeof base === "string" ? base : undefined,
  };
  return {
    r: read.number("r", 8, isRank, RANK),
    loraAlpha: read.number("lora_alpha", 8, Number.isFinite, "a number"),
    loraDropout: read.number("lora_dropout", 0, (p) => p >= 0 && p < 1, "a probability of at least 0 and below 1"),
    useRslora: read.flag("use_rslora"),
    targetModules: read.names("target_modules") ?? DEFAULT_TARGETS,
    rankPattern: read.pattern("rank_pattern", isRank, RANK),
    alphaPattern: read.pattern("alpha_pattern", Number.isFinite, "a number"),
    ...(Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined)) as Partial<AdapterConfig>),
  };
}

const RANK = "an integer of at least 1";
const isRank = (n: number): boolean => Number.isInteger(n) && n >= 1;

function refuseUnimplemented(json: Json, where: string): void {
  for (const [key, value] of Object.entries(json)) {
    if (OURS.has(key) || INFORMATION.has(key)) continue;
    const allowed = NEUTRAL[key];
    const neutral = allowed ? allowed.includes(value) : value === null || value === false || isEmpty(value);
    if (!neutral) throw new FormatError(where, `${key} is not implemented`, { expected: allowed ? allowed.map((v) => JSON.stringify(v)).join(" or ") : "its default", got: JSON.stringify(value) });
  }
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

class Reader {
  readonly #json: Json;
  readonly #where: string;

  constructor(json: Json, where: string) {
    this.#json = json;
    this.#where = where;
  }

  number(key: string, fallback: number, valid: (n: number) => boolean, expected: string): number {
    const value = this.#json[key] ?? fallback;
    if (typeof value !== "number" || !valid(value)) this.#fail(key, expected);
    return value as number;
  }

  flag(key: string): boolean {
    const value = this.#json[key] ?? false;
    if (typeof value !== "boolean") this.#fail(key, "true or false");
    return value as boolean;
  }

  list(key: string, value: unknown, valid: (item: unknown) => boolean, expected: string): unknown[] | undefined {
    if (value === undefined || value === null || (Array.isArray(value) && !value.length)) return undefined;
    if (!Array.isArray(value) || !value.every(valid)) this.#fail(key, expected);
    return value as unknown[];
  }

  names(key: string): string[] | string | undefined {
    const value = this.#json[key];
    if (typeof value === "string") return value;
    return this.list(key, value, (item) => typeof item === "string", "a string or a list of strings") as string[] | undefined;
  }

  pattern(key: string, valid: (n: number) => boolean, expected: string): Record<string, number> {
    const value = this.#json[key] ?? {};
    if (typeof value !== "object" || Array.isArray(value)) this.#fail(key, "an object");
    for (const item of Object.values(value as Json)) if (typeof item !== "number" || !valid(item)) this.#fail(key, `for each module ${expected}`);
    return value as Record<string, number>;
  }

  #fail(key: string, expected: string): never {
    throw new FormatError(this.#where, key, { expected, got: JSON.stringify(this.#json[key]) });
  }
}

/** Every field of PEFT's LoraConfig that PEFT itself writes, at its default. */
const PEFT_DEFAULTS: Json = {
  alora_invocation_tokens: null, arrow_config: null, auto_mapping: null, bias: "none", corda_config: null, ensure_weight_tying: false,
  eva_config: null, fan_in_fan_out: false, inference_mode: true, init_lora_weights: true, kasa_config: null, layer_replication: null,
  loftq_config: {}, lora_bias: false, lora_ga_config: null, megatron_config: null, megatron_core: "megatron.core", modules_to_save: null,
  monteclora_config: null, peft_type: "LORA", peft_version: "0.21.2", qalora_group_size: 16, revision: null, target_parameters: null,
  task_type: "CAUSAL_LM", trainable_token_indices: null, use_bdlora: null, use_dora: false, use_qalora: false, velora_config: null,
};

/**
 * adapter_config.json, byte for byte as PEFT writes it but for the order of sets, which PEFT leaves to chance.
 * @throws ShapeError when r is not a rank.
 */
export function serializeAdapterConfig(config: AdapterConfig): string {
  if (!isRank(config.r)) throw new ShapeError("adapter", "r", { expected: RANK, got: config.r });
  const json: Json = {
    ...PEFT_DEFAULTS,
    r: config.r, lora_alpha: config.loraAlpha, lora_dropout: config.loraDropout, use_rslora: config.useRslora,
    target_modules: config.targetModules, exclude_modules: config.excludeModules ?? null,
    layers_to_transform: config.layersToTransform ?? null, layers_pattern: config.layersPattern ?? null,
    rank_pattern: config.rankPattern, alpha_pattern: config.alphaPattern, base_model_name_or_path: config.baseModel ?? null,
  };
  return pythonJson(json, { indent: 2, sortKeys: true });
}
