import { FormatError } from "../errors.ts";
import type { ByteSource } from "../io/types.ts";
import type { ModelConfig } from "./model-config.ts";
import type { QuantState } from "./quant-state.ts";

/** A tensor of floats, whatever it is stored as. */
export interface DenseTensor {
  readonly kind: "dense";
  readonly name: string;
  readonly shape: readonly number[];
  /** Of what `read` gives: blocks of GGUF come as f32. */
  readonly dtype: "f32" | "f16" | "bf16";
  /** Name of the stored type: `F32`, `BF16`, `Q4_1`… */
  readonly storage: string;
  readonly storageBytes: number;
  /** Elements [begin, end), row-major, in Hugging Face's order of rows; f16 and bf16 as their bits. Perhaps in `into`, whose 4 bytes an element always suffice. */
  read(begin: number, end: number, into?: Uint8Array<ArrayBuffer>): Promise<Float32Array | Uint16Array>;
}

/** A 4-bit weight of bitsandbytes with its constants. */
export interface Bnb4Tensor {
  readonly kind: "bnb4";
  /** `model.layers.0.self_attn.q_proj.weight` */
  readonly name: string;
  readonly shape: readonly number[];
  readonly state: QuantState;
  /** Of the codes and all constants. */
  readonly storageBytes: number;
  /** Bytes [begin, end) of the codes, two to a byte; perhaps in `into`, if that is given. */
  packed(begin: number, end: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array>;
  /** u8[blocks] when double-quantized, else f32[blocks]; perhaps in `into`, as many bytes. */
  absmax(into?: Uint8Array<ArrayBuffer>): Promise<Float32Array | Uint8Array>;
  readonly quantMap: Float32Array; // f32[16]
  readonly nestedAbsmax?: Float32Array; // f32[ceil(blocks / 256)]
  readonly nestedQuantMap?: Float32Array; // f32[256]
}

export type WeightTensor = DenseTensor | Bnb4Tensor;

/** Where the bytes of a tensor lie, for the fingerprint. */
export interface Region {
  readonly name: string;
  readonly storage: string;
  readonly source: ByteSource;
  readonly offset: number;
  readonly bytes: number;
}

/** A tensor of a type that is not read here: its place and size are all that is known. */
export interface OpaqueTensor {
  readonly kind: "opaque";
  readonly name: string;
  readonly shape: readonly number[];
  readonly storage: string;
  readonly storageBytes: number;
}

/** What both kinds of container give: weights, and whatever `Other` makes of the rest. */
export interface StoredFiles<Other = OpaqueTensor> {
  readonly tensors: Map<string, WeightTensor | Other>;
  readonly regions: readonly Region[];
  readonly files: readonly ByteSource[];
  close(): Promise<void>;
}

/** Weights and nothing else. */
export type WeightFiles = StoredFiles<never>;

/** Names and shapes of a Llama's tensors, in the order of a forward pass. A tied head is the embedding. */
export function expectedTensors(config: ModelConfig): Map<string, readonly number[]> {
  const { vocabSize, hiddenSize: hidden, intermediateSize: inner, headDim, attentionBias, mlpBias } = config;
  const query = config.numAttentionHeads * headDim;
  const keyValue = config.numKeyValueHeads * headDim;
  const expected = new Map<string, readonly number[]>([["model.embed_tokens.weight", [vocabSize, hidden]]]);
  const linear = (path: string, out: number, width: number, bias: boolean): void => {
    expected.set(`${path}.weight`, [out, width]);
    if (bias) expected.set(`${path}.bias`, [out]);
  };
  for (let i = 0; i < config.numHiddenLayers; i++) {
    const layer = `model.layers.${i}`;
    expected.set(`${layer}.input_layernorm.weight`, [hidden]);
    linear(`${layer}.self_attn.q_proj`, query, hidden, attentionBias);
    linear(`${layer}.self_attn.k_proj`, keyValue, hidden, attentionBias);
    linear(`${layer}.self_attn.v_proj`, keyValue, hidden, attentionBias);
    linear(`${layer}.self_attn.o_proj`, hidden, query, attentionBias);
    expected.set(`${layer}.post_attention_layernorm.weight`, [hidden]);
    linear(`${layer}.mlp.gate_proj`, inner, hidden, mlpBias);
    linear(`${layer}.mlp.up_proj`, inner, hidden, mlpBias);
    linear(`${layer}.mlp.down_proj`, hidden, inner, mlpBias);
  }
  expected.set("model.norm.weight", [hidden]);
  if (!config.tieWordEmbeddings) expected.set("lm_head.weight", [vocabSize, hidden]);
  return expected;
}

/** The linears by module path: what is quantized and what adapters hang on. Embedding and head are none of them. */
export function linearsOf(tensors: ReadonlyMap<string, WeightTensor>): Map<string, WeightTensor> {
  const linears = [...tensors].filter(([name]) => /^model\.layers\.\d+\..*_proj\.weight$/.test(name));
  return new Map(linears.map(([name, tensor]) => [name.slice(0, -".weight".length), tensor]));
}

/** Stored by some programs though computing does not need them: frequencies, and the head of a tied model. */
const NEEDLESS = /^lm_head\.weight$|\.rotary_emb\.inv_freq$/;

/**
 * The tensors that the configuration asks for, in its order.
 * @throws FormatError for one that is missing, has another shape, or is unknown: leaving it out would compute another model.
 */
export function selectTensors(tensors: ReadonlyMap<string, WeightTensor>, config: ModelConfig, where: string): Map<string, WeightTensor> {
  const expected = expectedTensors(config);
  const selected = new Map<string, WeightTensor>();
  for (const [name, shape] of expected) {
    const tensor = tensors.get(name);
    if (!tensor) throw new FormatError(where, "missing tensor", { expected: `${name} [${shape}]`, got: "none of this name" });
    if (tensor.shape.length !== shape.length || tensor.shape.some((n, i) => n !== shape[i])) {
      throw new FormatError(`${where}: ${name}`, "shape", { expected: `[${shape}] as the config says`, got: `[${tensor.shape}]` });
    }
    selected.set(name, tensor);
  }
  for (const name of tensors.keys()) {
    if (!expected.has(name) && !NEEDLESS.test(name)) throw new FormatError(`${where}: ${name}`, "unknown tensor", { expected: `only those of a ${config.modelType} model with ${config.numHiddenLayers} layers and the biases of its config` });
  }
  return selected;
}
