/** `tokenizer.ggml.model` = `gpt2`: byte-level BPE; `tokenizer.ggml.pre` names how text is cut first. */
import { FormatError } from "../errors.ts";
import { vocabularyObject, type GgufVocabulary, type Json, type TokenizerParts } from "./gguf-tokenizer.ts";

interface PreType {
  readonly steps: readonly Json[];
  readonly normalizer?: Json;
  /** A whole piece that is a token is taken as it is (Llama 3). */
  readonly ignoreMerges?: boolean;
  readonly addBos?: boolean;
}

const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)";
const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)";
const AFTER_DIGITS = " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const split = (pattern: string): Json => ({ type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false });
const byteLevel = (useRegex: boolean): Json => ({ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: useRegex });

const gpt2: PreType = { steps: [byteLevel(true)] };
const smollm: PreType = { steps: [{ type: "Digits", individual_digits: true }, byteLevel(true)] };
const llama3: PreType = {
  steps: [split(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|${AFTER_DIGITS}`), byteLevel(false)],
  ignoreMerges: true, addBos: true,
};
const qwen2: PreType = {
  steps: [split(`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|${AFTER_DIGITS}`), byteLevel(false)],
  normalizer: { type: "NFC" },
};
const fallback: PreType = {
  steps: [split("[\\p{P}\\$\\+<=>\\^~\\|]+"), split(GPT2), split("\\p{N}+"), split("[0-9][0-9][0-9]"), byteLevel(false)],
};

const PRE_TYPES: ReadonlyMap<string, PreType> = new Map([
  ["default", fallback],
  ...["gpt-2", "phi-2", "mpt", "olmo"].map((name) => [name, gpt2] as const),
  ...["smollm", "starcoder", "refact", "codeshell", "minerva-7b"].map((name) => [name, smollm] as const),
  ...["llama-bpe", "llama3", "llama-v3", "falcon3"].map((name) => [name, llama3] as const),
  ["qwen2", qwen2],
]);

/** @throws FormatError for an unknown pre-tokenizer or missing merges. */
export function byteLevelModel({ tokens, merges, pre }: GgufVocabulary): TokenizerParts {
  const type = PRE_TYPES.get(pre);
  if (!type) {
    throw new FormatError("tokenizer.ggml.pre", "unknown pre-tokenizer", { expected: [...PRE_TYPES.keys()].join(", "), got: pre, hint: "convert from the original Hugging Face folder instead" });
  }
  if (!Array.isArray(merges)) throw new FormatError("tokenizer.ggml.merges", "missing");
  return {
    model: {
      type: "BPE", dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null,
      fuse_unk: false, byte_fallback: false, ignore_merges: type.ignoreMerges ?? false,
      vocab: vocabularyObject(tokens), merges: merges.map(pair),
    },
    normalizer: type.normalizer ?? null,
    pre_tokenizer: type.steps.length === 1 ? type.steps[0] : { type: "Sequence", pretokenizers: type.steps },
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    addBos: type.addBos ?? false,
  };
}

function pair(merge: string, index: number): [string, string] {
  const at = merge.indexOf(" ", 1);
  if (at < 0) throw new FormatError("tokenizer.ggml.merges", `merge ${index}`, { expected: "two tokens and a space", got: JSON.stringify(merge) });
  return [merge.slice(0, at), merge.slice(at + 1)];
}
