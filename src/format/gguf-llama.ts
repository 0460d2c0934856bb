/**
 * What a GGUF file of the llama family is in Hugging Face's words: names, row order, config.json.
 * Source: llama.cpp's conversion scripts (llama.py) and gguf-py's tensor_mapping.py.
 */
import { FormatError } from "../errors.ts";
import type { GgufFile, GgufMetadata, GgufValue } from "./gguf.ts";
import { checkFamily } from "./model-config.ts";

const TOP: Readonly<Record<string, string>> = { token_embd: "model.embed_tokens", output_norm: "model.norm", output: "lm_head" };

const IN_LAYER: Readonly<Record<string, string>> = {
  attn_norm: "input_layernorm", attn_q: "self_attn.q_proj", attn_k: "self_attn.k_proj", attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj", ffn_norm: "post_attention_layernorm", ffn_gate: "mlp.gate_proj", ffn_up: "mlp.up_proj", ffn_down: "mlp.down_proj",
};

/** `blk.3.attn_q.weight` → `model.layers.3.self_attn.q_proj.weight`; undefined for what no Llama has. */
export function huggingFaceName(name: string): string | undefined {
  const [, layer, part, suffix] = /^(?:blk\.(\d+)\.)?([a-z_]+)\.(weight|bias)$/.exec(name) ?? [];
  if (part === undefined) return undefined;
  const table = layer === undefined ? TOP : IN_LAYER;
  if (!Object.hasOwn(table, part)) return undefined;
  return `${layer === undefined ? "" : `model.layers.${layer}.`}${table[part]}.${suffix}`;
}

/** The divisors of rope frequencies, which stand for llama3 scaling. They are no weight. */
export const ROPE_FREQS = "rope_freqs.weight";

/**
 * Heads whose rows llama.cpp reordered, because it rotates neighbours where Hugging Face rotates halves; 0 for other tensors.
 */
export function permutedHeads(name: string, config: { readonly numAttentionHeads: number; readonly numKeyValueHeads: number }): number {
  if (/\.self_attn\.q_proj\.(weight|bias)$/.test(name)) return config.numAttentionHeads;
  if (/\.self_attn\.k_proj\.(weight|bias)$/.test(name)) return config.numKeyValueHeads;
  return 0;
}

/** Where row `row` of a head, in Hugging Face's order, lies in the file. */
export function fileRow(row: number, headDim: number): number {
  const half = headDim / 2;
  return row < half ? 2 * row : 2 * (row - half) + 1;
}

/**
 * config.json made up from the metadata.
 * @param ropeFactors the values of `rope_freqs.weight`, if the file has it.
 * @throws FormatError for another family, or for what the family does not know.
 */
export function configFromGguf({ source, metadata, tensors }: GgufFile, ropeFactors?: Float32Array): Record<string, unknown> {
  const where = source.name;
  checkFamily(metadata.get("general.architecture"), `${where}: general.architecture`);
  const fields = new MetadataFields(metadata, where);
  refuseUnknown(fields, where);
  const heads = fields.number("llama.attention.head_count");
  const hidden = fields.number("llama.embedding_length");
  const headDim = fields.optional("llama.attention.key_length") ?? hidden / heads;
  for (const key of ["llama.rope.dimension_count", "llama.attention.value_length"]) {
    const value = fields.optional(key) ?? headDim;
    if (value !== headDim) throw new FormatError(where, key, { expected: `${headDim}, the size of a head`, got: value });
  }
  const theta = shortest(fields.optional("llama.rope.freq_base") ?? 10000);
  const embedding = tensors.get("token_embd.weight");
  return {
    architectures: ["LlamaForCausalLM"], model_type: "llama", hidden_act: "silu",
    hidden_size: hidden, intermediate_size: fields.number("llama.feed_forward_length"), num_hidden_layers: fields.number("llama.block_count"),
    num_attention_heads: heads, num_key_value_heads: fields.optional("llama.attention.head_count_kv") ?? heads, head_dim: headDim,
    max_position_embeddings: fields.number("llama.context_length"),
    rms_norm_eps: shortest(fields.number("llama.attention.layer_norm_rms_epsilon")),
    rope_theta: theta, rope_scaling: ropeScaling(fields, where, theta, headDim, ropeFactors),
    vocab_size: embedding?.shape[0] ?? fields.number("llama.vocab_size"),
    tie_word_embeddings: !tensors.has("output.weight"),
    attention_bias: tensors.has("blk.0.attn_q.bias"), mlp_bias: tensors.has("blk.0.ffn_gate.bias"),
    bos_token_id: fields.optional("tokenizer.ggml.bos_token_id"), eos_token_id: fields.optional("tokenizer.ggml.eos_token_id"),
    pad_token_id: fields.optional("tokenizer.ggml.padding_token_id"),
    torch_dtype: "float32", use_cache: true,
  };
}

function refuseUnknown(fields: MetadataFields, where: string): void {
  const type = fields.text("general.type");
  if (type !== undefined && type !== "model") throw new FormatError(where, "general.type", { expected: "model", got: type });
  const experts = fields.optional("llama.expert_count") ?? 0;
  if (experts > 0) throw new FormatError(where, "llama.expert_count", { expected: "0", got: experts, hint: "mixtures of experts are not known" });
  const parts = fields.optional("split.count") ?? 1;
  if (parts > 1) throw new FormatError(where, "split.count", { expected: "a model in one file", got: `${parts} parts`, hint: "join them with llama.cpp's gguf-split --merge" });
}

/** The shortest decimal that is this float32: 1e-5, where the file's value printed as a double is 9.999999747378752e-06. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

type Scaling = Record<string, unknown> | null;

function ropeScaling(fields: MetadataFields, where: string, theta: number, headDim: number, factors: Float32Array | undefined): Scaling {
  const type = fields.text("llama.rope.scaling.type") ?? "none";
  const factor = fields.optional("llama.rope.scaling.factor") ?? fields.optional("llama.rope.scale_linear") ?? 1;
  if (type !== "none" && type !== "linear") throw new FormatError(where, "llama.rope.scaling.type", { expected: "none or linear", got: type });
  if (factors) return llama3Scaling(factors, theta, headDim, where);
  return factor === 1 ? null : { rope_type: "linear", factor: shortest(factor) };
}

/** All llama3-scaled models published so far have these; the file keeps only the divisors that follow from them. */
const LLAMA3 = { low_freq_factor: 1, high_freq_factor: 4, original_max_position_embeddings: 8192 };

function llama3Scaling(factors: Float32Array, theta: number, headDim: number, where: string): Scaling {
  const refuse = (got: string): never => {
    throw new FormatError(where, ROPE_FREQS, { expected: "the divisors of llama3 scaling (1, 4, 8192)", got, hint: "start from the Hugging Face folder, whose config.json has the parameters" });
  };
  if (factors.length !== headDim / 2) return refuse(`${factors.length} values`);
  const factor = factors.reduce((a, b) => Math.max(a, b), 0);
  if (!(factor >= 1) || !Number.isFinite(factor)) return refuse(`a largest value of ${factor}`);
  const { low_freq_factor: low, high_freq_factor: high, original_max_position_embeddings: original } = LLAMA3;
  for (let i = 0; i < factors.length; i++) {
    const turns = original / (2 * Math.PI * theta ** ((2 * i) / headDim));
    const smooth = Math.min(1, Math.max(0, (turns - low) / (high - low)));
    const expected = 1 / ((1 - smooth) / factor + smooth);
    if (!(Math.abs(factors[i] - expected) <= 1e-4 * expected)) return refuse(`${factors[i]} at ${i}, where they have ${expected}`);
  }
  return { rope_type: "llama3", factor: shortest(factor), ...LLAMA3 };
}

class MetadataFields {
  readonly #metadata: GgufMetadata;
  readonly #where: string;

  constructor(metadata: GgufMetadata, where: string) {
    this.#metadata = metadata;
    this.#where = where;
  }

  number(key: string): number {
    return this.optional(key) ?? this.#fail(key, "a number", undefined);
  }

  /** A value per layer counts as one when all are the same. */
  optional(key: string): number | undefined {
    const value = this.#metadata.get(key);
    if (value === undefined) return undefined;
    const list: unknown[] = typeof value === "object" ? Array.from(value as ArrayLike<unknown>) : [value];
    const [first] = list;
    if (typeof first !== "number" || list.some((item) => item !== first)) this.#fail(key, "one number for all layers", value);
    return first as number;
  }

  text(key: string): string | undefined {
    const value = this.#metadata.get(key);
    if (value !== undefined && typeof value !== "string") this.#fail(key, "a string", value);
    return value as string | undefined;
  }

  #fail(key: string, expected: string, value: GgufValue | undefined): never {
    throw new FormatError(this.#where, key, { expected, got: value === undefined ? "nothing" : String(value).slice(0, 80) });
  }
}
