/** Text ↔ token ids, by the files that Hugging Face keeps beside a model. */
import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { FormatError, ShapeError } from "../errors.ts";
import { chatTemplateOf, renderChatTemplate, type ChatMessage, type ChatOptions } from "./chat.ts";
import { exactPreTokenizer } from "./pre-tokenizer.ts";

export interface DecodeOptions {
  /** Leave out `<s>`, `<|im_end|>` and the like. Default false. */
  skipSpecial?: boolean;
}

/** Turns ids into text as they come, never cutting a character that spans several tokens. */
export interface StreamDecoder {
  /** The text that is certain now; empty while a character is incomplete. */
  push(id: number): string;
  /** What is left, with U+FFFD for a character that never became whole. */
  end(): string;
}

export interface Tokenizer {
  /** `special` adds what the model expects around a text, such as `<s>`; names of special tokens inside the text are always recognised. */
  encode(text: string, options: { special: boolean }): number[];
  /** Ids without a token (a padded vocabulary has some) are left out. @throws ShapeError for what is no id at all. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  streamDecoder(options?: DecodeOptions): StreamDecoder;
  /** What `encode` with `special` puts before every text: the start of a prompt. */
  readonly prefixIds: readonly number[];
  /** What ends a training row: `eos_token` of the tokenizer, else the first id the model stops at. */
  readonly eosId: number | undefined;
  /** Every id that generation stops at. */
  readonly eosIds: readonly number[];
  /** The largest id of a token, plus one; a model's vocabulary may be larger. */
  readonly vocabSize: number;
  readonly hasChatTemplate: boolean;
  /** @throws FormatError without a chat template, or when the template refuses the messages. */
  renderChat(messages: readonly ChatMessage[], options: ChatOptions): string;
}

type Json = Record<string, unknown>;

/**
 * @param where for messages: the model.
 * @param files `tokenizer.json`, and as far as they exist `tokenizer_config.json`,
 *   `special_tokens_map.json`, `chat_template.jinja`, `generation_config.json`, `config.json`.
 * @throws FormatError
 */
export function loadTokenizer(files: ReadonlyMap<string, Uint8Array>, where = "files"): Tokenizer {
  const main = readJson(files, "tokenizer.json");
  if (!main) {
    const hint = files.has("tokenizer.model") ? "tokenizer.model alone is not read; save the tokenizer again with Transformers, which writes tokenizer.json" : undefined;
    throw new FormatError(where, "tokenizer", { expected: "tokenizer.json", got: files.has("tokenizer.model") ? "tokenizer.model alone" : "none", hint });
  }
  const config = readJson(files, "tokenizer_config.json") ?? {};
  for (const [name, value] of Object.entries(readJson(files, "special_tokens_map.json") ?? {})) config[name] ??= value;
  const hub = build(main, config);
  const stops = [readJson(files, "generation_config.json"), readJson(files, "config.json")].map((json) => idList(json?.eos_token_id));
  const named = idOf(hub, config.eos_token);
  const eosIds = [...new Set([...(named === undefined ? [] : [named]), ...stops.flat()])];
  const template = chatTemplateOf(config, textOf(files.get("chat_template.jinja")));
  return wrap(hub, eosIds, (messages, options) => {
    if (template === undefined) {
      throw new FormatError("chat template", "this model has none", { hint: "give a plain prompt instead of messages" });
    }
    const tokens = { bos_token: contentOf(config.bos_token) ?? "", eos_token: contentOf(config.eos_token) ?? "" };
    return renderChatTemplate(template, messages, { ...options, variables: { ...tokens, ...options.variables } });
  }, template !== undefined);
}

function build(main: Json, config: Json): HubTokenizer {
  const parts = { normalizer: null, pre_tokenizer: null, post_processor: null, decoder: null, ...main };
  try {
    const hub = new HubTokenizer({ added_tokens: [], ...parts, pre_tokenizer: exactPreTokenizer(parts.pre_tokenizer) }, config);
    keepByteOrderMarks(hub.decoder);
    return hub;
  } catch (cause) {
    throw new FormatError("tokenizer.json", cause instanceof Error ? cause.message : String(cause), { cause });
  }
}

/** The library's ByteFallback step swallows a U+FEFF at the start of a run of bytes. */
function keepByteOrderMarks(decoder: unknown): void {
  const { decoders, text_decoder } = (decoder ?? {}) as { decoders?: unknown[]; text_decoder?: TextDecoder };
  for (const step of decoders ?? []) keepByteOrderMarks(step);
  if (text_decoder && !text_decoder.ignoreBOM) (decoder as { text_decoder: TextDecoder }).text_decoder = new TextDecoder("utf-8", { ignoreBOM: true });
}

function wrap(hub: HubTokenizer, eosIds: number[], renderChat: Tokenizer["renderChat"], hasChatTemplate: boolean): Tokenizer {
  const vocabulary = hub.get_vocab();
  let vocabSize = 0;
  for (const id of vocabulary.values()) vocabSize = Math.max(vocabSize, id + 1);
  const special = new Set([...hub.get_added_tokens_decoder().values()].filter((token) => token.special).map((token) => token.id));

  const encode: Tokenizer["encode"] = (text, options) => {
    const { ids } = hub.encode(text, { add_special_tokens: options.special });
    const unknown = ids.findIndex((id) => id === undefined);
    if (unknown >= 0) throw new FormatError("tokenizer", "a piece of the text has no token", { hint: "the vocabulary has neither bytes nor an unknown token" });
    return ids;
  };
  // Models pad their vocabulary; ids without a token mean nothing.
  const silent = (id: number, options?: DecodeOptions): boolean => hub.id_to_token(id) === undefined || (options?.skipSpecial === true && special.has(id));
  const decode: Tokenizer["decode"] = (ids, options) => {
    const kept: number[] = [];
    for (let i = 0; i < ids.length; i++) {
      if (!Number.isInteger(ids[i]) || ids[i] < 0) throw new ShapeError("decode", `id ${i}`, { expected: "a token id", got: ids[i] });
      if (!silent(ids[i], options)) kept.push(ids[i]);
    }
    return kept.length ? hub.decode(kept, { clean_up_tokenization_spaces: false }) : "";
  };
  return {
    encode, decode, eosIds, eosId: eosIds[0], vocabSize, hasChatTemplate, renderChat,
    prefixIds: prefixOf(encode),
    streamDecoder: (options) => streamDecoder(decode, (id) => silent(id, options)),
  };
}

/** Ids that stand before a text but not inside it. */
function prefixOf(encode: Tokenizer["encode"]): number[] {
  const bare = encode("a", { special: false });
  const dressed = encode("a", { special: true });
  for (let start = 0; start + bare.length <= dressed.length; start++) {
    if (bare.every((id, i) => dressed[start + i] === id)) return dressed.slice(0, start);
  }
  return [];
}

/** More tokens than any character has bytes: a longer wait means bytes that are no UTF-8 at all. */
const LONGEST_WAIT = 16;
const CONTEXT = 4;

/**
 * An incomplete character decodes to one U+FFFD at the very end, so everything before that is
 * final. The last token stays in the window as context: some decoders treat the first one apart.
 */
export function streamDecoder(decode: (ids: number[]) => string, skip: (id: number) => boolean = () => false): StreamDecoder {
  let window: number[] = [];
  let sent = 0;
  const final = (text: string): string => (text.endsWith("\ufffd") ? text.slice(0, -1) : text);
  return {
    push(id) {
      if (skip(id)) return "";
      window.push(id);
      const text = decode(window);
      const piece = final(text).slice(sent);
      sent += piece.length;
      const whole = sent === text.length;
      if ((whole && window.length > 1) || window.length > LONGEST_WAIT) {
        window = window.slice(whole ? -1 : -CONTEXT);
        const context = decode(window);
        sent = whole ? context.length : final(context).length;
      }
      return piece;
    },
    end() {
      const rest = window.length ? decode(window).slice(sent) : "";
      window = [];
      sent = 0;
      return rest;
    },
  };
}

function textOf(bytes: Uint8Array | undefined): string | undefined {
  return bytes && new TextDecoder().decode(bytes);
}

function readJson(files: ReadonlyMap<string, Uint8Array>, name: string): Json | undefined {
  const text = textOf(files.get(name));
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new FormatError(name, "not JSON", { got: (cause as Error).message, cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new FormatError(name, "top level", { expected: "an object", got: JSON.stringify(value)?.slice(0, 40) });
  return value as Json;
}

/** Special tokens are written as a string or as an object with `content`. */
function contentOf(token: unknown): string | undefined {
  if (typeof token === "string") return token;
  const content = (token as { content?: unknown } | null | undefined)?.content;
  return typeof content === "string" ? content : undefined;
}

function idOf(hub: HubTokenizer, token: unknown): number | undefined {
  const content = contentOf(token);
  return content === undefined ? undefined : hub.token_to_id(content);
}

function idList(value: unknown): number[] {
  return (Array.isArray(value) ? value : [value]).filter((id): id is number => Number.isInteger(id) && (id as number) >= 0);
}
