/** `tokenizer.ggml.model` = `llama`: SentencePiece BPE, whose scores say which pair merges first. */
import { FormatError } from "../errors.ts";
import { TOKEN_TYPE, vocabularyObject, type GgufVocabulary, type Json, type TokenizerParts } from "./gguf-tokenizer.ts";

const SPACE = "\u2581";

/** @throws FormatError without scores or without the 256 byte tokens. */
export function sentencePieceModel(vocabulary: GgufVocabulary): TokenizerParts {
  const { tokens, scores, addSpacePrefix, unknownId } = vocabulary;
  if (!scores) throw new FormatError("tokenizer.ggml.scores", "missing");
  const vocab = vocabularyObject(tokens);
  if (vocab["<0x00>"] === undefined || vocab["<0xFF>"] === undefined) {
    throw new FormatError("tokenizer.ggml.tokens", "no byte tokens", { expected: "<0x00> … <0xFF>", hint: "SentencePiece without byte fallback is not supported" });
  }
  const replace: Json = { type: "Replace", pattern: { String: " " }, content: SPACE };
  const decoders: Json[] = [{ type: "Replace", pattern: { String: SPACE }, content: " " }, { type: "ByteFallback" }, { type: "Fuse" }];
  return {
    model: {
      type: "BPE", dropout: null, unk_token: unknownId === undefined ? null : tokens[unknownId], continuing_subword_prefix: null, end_of_word_suffix: null,
      fuse_unk: true, byte_fallback: true, ignore_merges: false, vocab, merges: mergesFromScores(vocabulary, scores),
    },
    normalizer: addSpacePrefix ? { type: "Sequence", normalizers: [{ type: "Prepend", prepend: SPACE }, replace] } : replace,
    pre_tokenizer: null,
    decoder: { type: "Sequence", decoders: addSpacePrefix ? [...decoders, { type: "Strip", content: " ", start: 1, stop: 0 }] : decoders },
    addBos: true,
  };
}

interface Merge {
  readonly left: string;
  readonly right: string;
  readonly score: number;
  /** In characters, not UTF-16 units. */
  readonly leftLength: number;
}

/**
 * Every way to join two tokens into a third, best score first, longer left part first on a tie:
 * `generate_merges` of Transformers' conversion. Pieces that SentencePiece never builds by merging
 * (control, byte, user-defined) take no part.
 */
function mergesFromScores({ tokens, types }: GgufVocabulary, scores: ArrayLike<number>): [string, string][] {
  const mergeable = (id: number): boolean => types[id] === TOKEN_TYPE.normal || types[id] === TOKEN_TYPE.unused;
  const ids = new Map<string, number>();
  for (let id = 0; id < tokens.length; id++) if (mergeable(id)) ids.set(tokens[id], id);
  const merges: Merge[] = [];
  for (const [piece, id] of ids) {
    const local: Merge[] = [];
    let leftLength = 0;
    let at = 0;
    for (const character of piece) {
      at += character.length;
      leftLength++;
      const left = piece.slice(0, at);
      const right = piece.slice(at);
      if (ids.has(left) && ids.has(right)) local.push({ left, right, score: scores[id], leftLength });
    }
    local.sort((a, b) => ids.get(a.left)! - ids.get(b.left)! || ids.get(a.right)! - ids.get(b.right)!);
    merges.push(...local);
  }
  // Equal left lengths of one piece cannot be; of two pieces the right part decides, then the order above.
  merges.sort((a, b) => b.score - a.score || b.leftLength - a.leftLength || [...b.right].length - [...a.right].length);
  return merges.map(({ left, right }) => [left, right]);
}
