import { FormatError } from "../errors.ts";

export interface RopeScaling {
  readonly type: "linear" | "llama3";
  readonly factor: number;
  readonly lowFreqFactor?: number;
  readonly highFreqFactor?: number;
  readonly originalMaxPositionEmbeddings?: number;
}

/** config.json, checked. */
export interface ModelConfig {
  readonly modelType: "llama";
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
  readonly ropeTheta: number;
  readonly ropeScaling: RopeScaling | undefined;
  readonly maxPositionEmbeddings: number;
  readonly tieWordEmbeddings: boolean;
  /** Biases of q, k, v and o. */
  readonly attentionBias: boolean;
  /** Biases of gate, up and down. */
  readonly mlpBias: boolean;
  readonly bosTokenId?: number;
  readonly eosTokenIds: readonly number[];
  readonly padTokenId?: number;
}

/** Values of `model_type` in config.json, or of `general.architecture` in GGUF. */
export const KNOWN_FAMILIES: readonly string[] = ["llama"];

/** @throws FormatError that names the families known. */
export function checkFamily(family: unknown, where: string): void {
  if (KNOWN_FAMILIES.includes(family as string)) return;
  throw new FormatError(where, "model family", { expected: KNOWN_FAMILIES.join(", "), got: family ?? "nothing", hint: "SmolLM2, TinyLlama, Llama 2 and Llama 3 are of the llama family" });
}

type Json = Record<string, unknown>;

/** Reads values of one JSON object; null counts as absent, as in Transformers. */
class Fields {
  readonly #json: Json;
  readonly #where: string;

  constructor(json: Json, where: string) {
    this.#json = json;
    this.#where = where;
  }

  value(key: string): unknown {
    return this.#json[key] ?? undefined;
  }

  integer(key: string, fallback?: number, least = 1): number {
    const value = this.value(key) ?? fallback;
    if (!Number.isSafeInteger(value) || (value as number) < least) this.fail(key, `an integer of at least ${least}`);
    return value as number;
  }

  positive(key: string, fallback?: number): number {
    const value = this.value(key) ?? fallback;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0) this.fail(key, "a number above 0");
    return value as number;
  }

  flag(key: string): boolean {
    const value = this.value(key) ?? false;
    if (typeof value !== "boolean") this.fail(key, "true or false");
    return value as boolean;
  }

  fail(key: string, expected: string): never {
    throw new FormatError(this.#where, key, { expected, got: JSON.stringify(this.#json[key]) ?? "nothing" });
  }
}

/**
 * Checks the keys that computing depends on. Both the spellings of Transformers 4 (`rope_theta`, `rope_scaling`) and of
 * Transformers 5 (`rope_parameters`) are read; defaults are Transformers'.
 * @throws FormatError naming the key; for another family, one that names those known.
 */
export function parseModelConfig(json: Json, where: string): ModelConfig {
  checkFamily(json["model_type"], where);
  const fields = new Fields(json, where);
  const activation = fields.value("hidden_act") ?? "silu";
  if (activation !== "silu") fields.fail("hidden_act", `"silu"`);
  const hiddenSize = fields.integer("hidden_size");
  const numAttentionHeads = fields.integer("num_attention_heads");
  const numKeyValueHeads = fields.integer("num_key_value_heads", numAttentionHeads);
  if (numAttentionHeads % numKeyValueHeads) fields.fail("num_key_value_heads", `a divisor of num_attention_heads (${numAttentionHeads})`);
  const headDim = fields.integer("head_dim", hiddenSize / numAttentionHeads);
  if (headDim % 2) fields.fail("head_dim", "an even number");
  const maxPositionEmbeddings = fields.integer("max_position_embeddings", 2048);
  return {
    modelType: "llama", hiddenSize, numAttentionHeads, numKeyValueHeads, headDim, maxPositionEmbeddings,
    vocabSize: fields.integer("vocab_size"),
    intermediateSize: fields.integer("intermediate_size"),
    numHiddenLayers: fields.integer("num_hidden_layers"),
    rmsNormEps: fields.positive("rms_norm_eps", 1e-6),
    ...parseRope(json, where),
    tieWordEmbeddings: fields.flag("tie_word_embeddings"),
    attentionBias: fields.flag("attention_bias"),
    mlpBias: fields.flag("mlp_bias"),
    ...tokenIds(fields),
  };
}

function tokenIds(fields: Fields): Pick<ModelConfig, "bosTokenId" | "eosTokenIds" | "padTokenId"> {
  const one = (key: string): number | undefined => (fields.value(key) === undefined ? undefined : fields.integer(key, undefined, -1));
  const eos = fields.value("eos_token_id") ?? [];
  const eosTokenIds = (Array.isArray(eos) ? eos : [eos]) as number[];
  if (!eosTokenIds.every((id) => Number.isSafeInteger(id) && id >= 0)) fields.fail("eos_token_id", "a token id or a list of them");
  const bosTokenId = one("bos_token_id");
  // -1 is Llama 1's way to say that there is none.
  const padTokenId = one("pad_token_id");
  return { eosTokenIds, ...(bosTokenId === undefined || bosTokenId < 0 ? {} : { bosTokenId }), ...(padTokenId === undefined || padTokenId < 0 ? {} : { padTokenId }) };
}

function parseRope(json: Json, where: string): Pick<ModelConfig, "ropeTheta" | "ropeScaling"> {
  const parameters = json["rope_parameters"] ?? json["rope_scaling"] ?? {};
  const name = json["rope_parameters"] ? "rope_parameters" : "rope_scaling";
  if (typeof parameters !== "object" || Array.isArray(parameters)) throw new FormatError(where, name, { expected: "an object", got: JSON.stringify(parameters) });
  const rope = new Fields(parameters as Json, `${where}: ${name}`);
  const ropeTheta = rope.value("rope_theta") === undefined ? new Fields(json, where).positive("rope_theta", 10000) : rope.positive("rope_theta");
  const partial = rope.value("partial_rotary_factor") ?? json["partial_rotary_factor"] ?? 1;
  if (partial !== 1) throw new FormatError(where, "partial_rotary_factor", { expected: "1", got: partial });
  return { ropeTheta, ropeScaling: parseScaling(rope, `${where}: ${name}`) };
}

function parseScaling(rope: Fields, where: string): RopeScaling | undefined {
  const type = rope.value("rope_type") ?? rope.value("type") ?? "default";
  switch (type) {
    case "default": return undefined;
    case "linear": return { type: "linear", factor: rope.positive("factor") };
    case "llama3": return {
      type: "llama3", factor: rope.positive("factor"), lowFreqFactor: rope.positive("low_freq_factor"), highFreqFactor: rope.positive("high_freq_factor"),
      originalMaxPositionEmbeddings: rope.integer("original_max_position_embeddings"),
    };
    default: throw new FormatError(where, "kind of rope scaling", { expected: "default, linear or llama3", got: type });
  }
}
