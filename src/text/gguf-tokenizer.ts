/**
 * The tokenizer inside a GGUF file as the files Hugging Face keeps: what llama.cpp does with the
 * metadata (src/llama-vocab.cpp), in the words of tokenizer.json.
 */
import { FormatError } from "../errors.ts";
import { byteLevelModel } from "./gguf-bpe.ts";
import { sentencePieceModel } from "./gguf-spm.ts";

export type Json = Record<string, unknown>;

/** Keys are file names, values what to serialise as JSON. */
export interface TokenizerFiles {
  readonly "tokenizer.json": Json;
  readonly "tokenizer_config.json": Json;
  readonly "generation_config.json": Json;
}

/** What both kinds of vocabulary start from. */
export interface GgufVocabulary {
  readonly tokens: readonly string[];
  /** Parallel to `tokens`: the number of TOKEN_TYPE. */
  readonly types: ArrayLike<number>;
  readonly scores: ArrayLike<number> | undefined;
  readonly merges: readonly string[] | undefined;
  /** `tokenizer.ggml.pre`, or `default`. */
  readonly pre: string;
  readonly addSpacePrefix: boolean;
  readonly unknownId: number | undefined;
}

/** What is particular to a kind of vocabulary. */
export interface TokenizerParts {
  readonly model: Json;
  readonly normalizer: Json | null;
  readonly pre_tokenizer: Json | null;
  readonly decoder: Json;
  /** Used where the file does not say. */
  readonly addBos: boolean;
}

export const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, userDefined: 4, unused: 5, byte: 6 } as const;

/** Ends of a turn that older files leave unnamed; llama.cpp stops at them too. */
const TURN_ENDS = ["<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>"];

/**
 * @param metadata key → value of the GGUF file; numbers may be bigint, arrays typed.
 * @returns undefined when the file carries no tokenizer.
 * @throws FormatError naming the key.
 */
export function tokenizerFromGguf(metadata: ReadonlyMap<string, unknown>): TokenizerFiles | undefined {
  const kind = metadata.get("tokenizer.ggml.model");
  if (kind === undefined || kind === "no_vocab" || kind === "none") return undefined;
  const spm = kind === "llama";
  if (!spm && kind !== "gpt2") {
    throw new FormatError("tokenizer.ggml.model", "unknown kind of tokenizer", { expected: "gpt2 or llama", got: kind, hint: "convert from the original Hugging Face folder instead" });
  }
  const vocabulary = readVocabulary(metadata, spm);
  const parts = spm ? sentencePieceModel(vocabulary) : byteLevelModel(vocabulary);
  const id = (name: string, fallback?: number): number | undefined => tokenId(metadata, name, vocabulary.tokens.length) ?? fallback;
  const ids = { bos: id("bos", spm ? 1 : undefined), eos: id("eos", spm ? 2 : undefined), unk: vocabulary.unknownId, pad: id("padding") };
  const addBos = flag(metadata, "add_bos_token", parts.addBos) && ids.bos !== undefined;
  const addEos = flag(metadata, "add_eos_token", false) && ids.eos !== undefined;
  const { addBos: _, ...sections } = parts;
  const { tokens } = vocabulary;
  return {
    "tokenizer.json": {
      version: "1.0", truncation: null, padding: null,
      added_tokens: addedTokens(vocabulary), ...sections,
      post_processor: addBos || addEos ? template(addBos ? [ids.bos!, tokens[ids.bos!]] : undefined, addEos ? [ids.eos!, tokens[ids.eos!]] : undefined) : null,
    },
    "tokenizer_config.json": withoutUndefined({
      tokenizer_class: "PreTrainedTokenizerFast",
      bos_token: nameOf(tokens, ids.bos), eos_token: nameOf(tokens, ids.eos), unk_token: nameOf(tokens, ids.unk), pad_token: nameOf(tokens, ids.pad),
      add_bos_token: addBos, add_eos_token: addEos, clean_up_tokenization_spaces: false,
      model_max_length: contextLength(metadata), chat_template: chatTemplates(metadata),
    }),
    "generation_config.json": withoutUndefined({ bos_token_id: ids.bos, eos_token_id: stopIds(vocabulary, ids.eos, id), pad_token_id: ids.pad }),
  };
}

function readVocabulary(metadata: ReadonlyMap<string, unknown>, spm: boolean): GgufVocabulary {
  const key = (name: string): string => `tokenizer.ggml.${name}`;
  const tokens = metadata.get(key("tokens"));
  if (!Array.isArray(tokens) || !tokens.length || tokens.some((token) => typeof token !== "string")) {
    throw new FormatError(key("tokens"), "not a list of strings", { got: typeof tokens });
  }
  const parallel = (name: string): ArrayLike<number> | undefined => {
    const value = metadata.get(key(name)) as ArrayLike<number> | undefined;
    if (value !== undefined && value.length !== tokens.length) throw new FormatError(key(name), "length", { expected: tokens.length, got: value.length });
    return value;
  };
  const pre = metadata.get(key("pre")) ?? "default";
  return {
    tokens,
    types: parallel("token_type") ?? new Uint8Array(tokens.length).fill(TOKEN_TYPE.normal),
    scores: parallel("scores"),
    merges: metadata.get(key("merges")) as string[] | undefined,
    pre: String(pre),
    addSpacePrefix: flag(metadata, "add_space_prefix", spm),
    unknownId: tokenId(metadata, "unknown", tokens.length) ?? (spm ? 0 : undefined),
  };
}

function tokenId(metadata: ReadonlyMap<string, unknown>, name: string, count: number): number | undefined {
  const key = `tokenizer.ggml.${name}_token_id`;
  const value = metadata.get(key);
  if (value === undefined) return undefined;
  const id = Number(value);
  if (!Number.isInteger(id) || id < 0 || id >= count) throw new FormatError(key, "no such token", { expected: `0 … ${count - 1}`, got: value });
  return id;
}

function flag(metadata: ReadonlyMap<string, unknown>, name: string, fallback: boolean): boolean {
  const value = metadata.get(`tokenizer.ggml.${name}`);
  return typeof value === "boolean" ? value : fallback;
}

function addedTokens({ tokens, types }: GgufVocabulary): Json[] {
  const added: Json[] = [];
  for (let id = 0; id < tokens.length; id++) {
    const special = types[id] === TOKEN_TYPE.control || types[id] === TOKEN_TYPE.unknown;
    if (!special && types[id] !== TOKEN_TYPE.userDefined) continue;
    if (tokens[id] === "") continue;
    added.push({ id, content: tokens[id], single_word: false, lstrip: false, rstrip: false, normalized: false, special });
  }
  return added;
}

function template(bos: [number, string] | undefined, eos: [number, string] | undefined): Json {
  const special = (token: [number, string] | undefined, type: number): Json[] => (token ? [{ SpecialToken: { id: token[1], type_id: type } }] : []);
  const part = (name: string, type: number): Json[] => [...special(bos, type), { Sequence: { id: name, type_id: type } }, ...special(eos, type)];
  const used = [bos, eos].filter((token) => token !== undefined);
  return {
    type: "TemplateProcessing", single: part("A", 0), pair: [...part("A", 0), ...part("B", 1)],
    special_tokens: Object.fromEntries(used.map(([id, name]) => [name, { id: name, ids: [id], tokens: [name] }])),
  };
}

function stopIds({ tokens, types }: GgufVocabulary, eos: number | undefined, id: (name: string) => number | undefined): number | number[] | undefined {
  const turnEnds = TURN_ENDS.map((name) => tokens.indexOf(name)).filter((at) => at >= 0 && types[at] === TOKEN_TYPE.control);
  const all = new Set([eos, id("eot") ?? turnEnds[0], id("eom")].filter((stop) => stop !== undefined));
  return all.size > 1 ? [...all] : [...all][0];
}

function contextLength(metadata: ReadonlyMap<string, unknown>): number | undefined {
  const value = metadata.get(`${String(metadata.get("general.architecture"))}.context_length`);
  return value === undefined ? undefined : Number(value);
}

function chatTemplates(metadata: ReadonlyMap<string, unknown>): unknown {
  const main = metadata.get("tokenizer.chat_template");
  const prefix = "tokenizer.chat_template.";
  const named = [...metadata].filter(([key]) => key.startsWith(prefix)).map(([key, template]) => ({ name: key.slice(prefix.length), template }));
  return named.length ? [...(main === undefined ? [] : [{ name: "default", template: main }]), ...named] : main;
}

function nameOf(tokens: readonly string[], id: number | undefined): string | undefined {
  return id === undefined ? undefined : tokens[id];
}

function withoutUndefined(json: Json): Json {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined));
}

/** token → id, safe for a token named `__proto__`. */
export function vocabularyObject(tokens: readonly string[]): Json {
  const vocab: Json = Object.create(null) as Json;
  for (let id = 0; id < tokens.length; id++) vocab[tokens[id]] = id;
  return vocab;
}
