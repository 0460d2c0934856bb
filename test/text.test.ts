import fc from "fast-check";
import { readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, ShapeError } from "../src/errors.ts";
import { tokenizerFromGguf } from "../src/text/gguf-tokenizer.ts";
import { loadTokenizer, streamDecoder, type Tokenizer } from "../src/text/tokenizer.ts";

const bytes = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
const json = (path: string): any => JSON.parse(readFileSync(path, "utf8"));
const encoded = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));

const DEMO_FILES = ["tokenizer.json", "tokenizer_config.json", "generation_config.json", "config.json"];
const demoFiles = new Map(DEMO_FILES.map((name) => [name, bytes(`src/demo/${name}`)]));
const demo = loadTokenizer(demoFiles);

function fromGguf(entries: Record<string, unknown>): Tokenizer {
  const files = tokenizerFromGguf(new Map(Object.entries(entries)))!;
  return loadTokenizer(new Map(Object.entries(files).map(([name, value]) => [name, encoded(value)])));
}

const byteLevel = json("test/golden/text/byte-level.json");

/** The golden byte-level vocabulary as a GGUF file would carry it. */
function byteLevelMetadata(pre: string): Record<string, unknown> {
  return {
    "tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": byteLevel.tokens,
    "tokenizer.ggml.merges": byteLevel.merges, "tokenizer.ggml.add_bos_token": false, "tokenizer.ggml.bos_token_id": 0n,
  };
}

function stream(tokenizer: Tokenizer, ids: readonly number[], skipSpecial = false): string {
  const decoder = tokenizer.streamDecoder({ skipSpecial });
  return ids.map((id) => decoder.push(id)).join("") + decoder.end();
}

const tokenizers = suite("tokenizer");

tokenizers("the demo's ids are those of Transformers", () => {
  for (const { text, ids, with_special, decoded } of json("test/golden/text/demo.json").tokenize) {
    assert.equal(demo.encode(text, { special: false }), ids, text);
    assert.equal(demo.encode(text, { special: true }), with_special, text);
    assert.is(demo.decode(ids), decoded);
    assert.is(stream(demo, ids), decoded);
  }
});

tokenizers("odd spaces and digits split as in Rust, for every pre-tokenizer of a GGUF", () => {
  const { texts, ids } = byteLevel;
  for (const [pre, expected] of Object.entries<number[][]>(ids)) {
    const tokenizer = fromGguf(byteLevelMetadata(pre));
    texts.forEach((text: string, i: number) => assert.equal(tokenizer.encode(text, { special: false }), expected[i], `${pre}: ${JSON.stringify(text)}`));
  }
});

tokenizers("SentencePiece's ids, from its scores", () => {
  const { tokens, scores, types, texts, ids, decoded } = json("test/golden/text/sentencepiece.json");
  const tokenizer = fromGguf({
    "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.scores": Float32Array.from(scores),
    "tokenizer.ggml.token_type": types, "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
  });
  texts.forEach((text: string, i: number) => {
    assert.equal(tokenizer.encode(text, { special: false }), ids[i], JSON.stringify(text));
    assert.equal(tokenizer.encode(text, { special: true }), [1, ...ids[i]]);
    assert.is(tokenizer.decode(ids[i]), decoded[i]);
    assert.is(stream(tokenizer, ids[i]), decoded[i]);
  });
  assert.equal(tokenizer.prefixIds, [1]);
  assert.equal(tokenizer.eosIds, [2]);
});

tokenizers("merges from scores: best first, the longer left part on a tie, bytes and control tokens never", () => {
  const tokens = ["<unk>", "<s>", "</s>", "<0x00>", "<0xFF>", "a", "b", "c", "ab", "bc", "abc", "<0x0", "0>", "<", "s>"];
  const files = tokenizerFromGguf(new Map<string, unknown>([
    ["tokenizer.ggml.model", "llama"], ["tokenizer.ggml.tokens", tokens], ["tokenizer.ggml.scores", tokens.map((token) => (token === "bc" ? -1 : -2))],
    ["tokenizer.ggml.token_type", [2, 3, 3, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]],
  ]))!;
  assert.equal((files["tokenizer.json"].model as any).merges, [["b", "c"], ["ab", "c"], ["a", "bc"], ["a", "b"]]);
});

tokenizers("SmolLM2 from its GGUF metadata: ids and chats of Transformers", () => {
  const golden = json("test/golden/text/smollm2.json");
  // Ids that no golden text reaches only need to exist.
  const tokens = Array.from({ length: golden.count }, (_, id) => `\u0000${id}`);
  for (const [token, id] of Object.entries<number>(golden.tokens)) tokens[id] = token;
  const types = new Int32Array(golden.count).fill(1);
  for (const id of golden.control) types[id] = 3;
  const tokenizer = fromGguf({
    ...golden.metadata, "tokenizer.ggml.tokens": tokens, "tokenizer.ggml.token_type": types, "tokenizer.ggml.merges": golden.merges,
  });
  for (const { text, ids, with_special, decoded } of golden.tokenize) {
    assert.equal(tokenizer.encode(text, { special: false }), ids, text);
    assert.equal(tokenizer.encode(text, { special: true }), with_special, text);
    assert.is(tokenizer.decode(ids), decoded);
  }
  for (const { messages, add_generation_prompt, text, ids } of golden.chat) {
    assert.is(tokenizer.renderChat(messages, { addGenerationPrompt: add_generation_prompt }), text);
    assert.equal(tokenizer.encode(text, { special: false }), ids);
  }
  assert.is(tokenizer.eosId, 2);
  assert.is(tokenizer.vocabSize, 49152);
});

tokenizers("special tokens may be left out of the text", () => {
  const ids = demo.encode("<|im_start|>user<|im_end|>", { special: false });
  assert.is(demo.decode(ids, { skipSpecial: true }), "user");
  assert.is(stream(demo, ids, true), "user");
  assert.is(demo.decode(ids), "<|im_start|>user<|im_end|>");
});

tokenizers("ids without a token and empty lists decode to nothing; what is no id is refused", () => {
  assert.is(demo.decode([]), "");
  assert.is(demo.decode([50000]), "");
  assert.throws(() => demo.decode([-1]), (e: unknown) => e instanceof ShapeError);
  assert.throws(() => demo.decode([1.5]), (e: unknown) => e instanceof ShapeError);
});

tokenizers("a stream gives the whole text and never half a character", () => {
  const unit = fc.constantFrom("a", " ", "é", "猫", "👩‍👩‍👧", "🇩🇪", "\ufffd", "the ", "<|im_end|>", "\n");
  fc.assert(fc.property(fc.array(unit, { maxLength: 20 }), (units) => {
    const text = units.join("");
    const ids = demo.encode(text, { special: false });
    const decoder = demo.streamDecoder();
    let sent = "";
    for (const id of ids) {
      sent += decoder.push(id);
      assert.ok(text.startsWith(sent), `${JSON.stringify(sent)} of ${JSON.stringify(text)}`);
    }
    assert.is(sent + decoder.end(), text);
  }));
});

tokenizers("a stream of bytes that are no text stays bounded and equals the whole", () => {
  let longest = 0;
  const whole = (ids: number[]): string => {
    longest = Math.max(longest, ids.length);
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(Uint8Array.from(ids));
  };
  const decoder = streamDecoder(whole);
  const junk = Array.from({ length: 500 }, (_, i) => (i % 3 ? 0xff : 0x80));
  const text = junk.map((id) => decoder.push(id)).join("") + decoder.end();
  assert.ok(longest < 32, `window of ${longest}`);
  assert.is(text, whole(junk));
});

tokenizers("broken files are named", () => {
  const message = (change: (files: Map<string, Uint8Array>) => void): string => {
    const files = new Map<string, Uint8Array>(demoFiles);
    change(files);
    try {
      loadTokenizer(files);
    } catch (error) {
      assert.instance(error, FormatError);
      return (error as Error).message;
    }
    return "no error";
  };
  assert.match(message((f) => f.delete("tokenizer.json")), /files: tokenizer: expected tokenizer\.json, got none/);
  assert.match(message((f) => { f.delete("tokenizer.json"); f.set("tokenizer.model", encoded(1)); }), /tokenizer\.model alone/);
  assert.match(message((f) => f.set("tokenizer_config.json", new Uint8Array([123]))), /tokenizer_config\.json: not JSON/);
  assert.match(message((f) => f.set("config.json", encoded([]))), /config\.json: top level/);
  assert.match(message((f) => f.set("tokenizer.json", encoded({ model: { type: "Nonsense" } }))), /tokenizer\.json: .*Nonsense/);
});

tokenizers("GGUF metadata that cannot be used is named", () => {
  const fails = (change: Record<string, unknown>, pattern: RegExp): void => {
    assert.throws(() => fromGguf({ ...byteLevelMetadata("gpt-2"), ...change }), (e: unknown) => e instanceof FormatError && pattern.test(e.message));
  };
  fails({ "tokenizer.ggml.model": "t5" }, /tokenizer\.ggml\.model: .*t5/);
  fails({ "tokenizer.ggml.pre": "tekken" }, /tokenizer\.ggml\.pre: .*tekken/);
  fails({ "tokenizer.ggml.tokens": [] }, /tokenizer\.ggml\.tokens/);
  fails({ "tokenizer.ggml.token_type": [1] }, /tokenizer\.ggml\.token_type: length/);
  fails({ "tokenizer.ggml.merges": ["ab"] }, /merge 0/);
  fails({ "tokenizer.ggml.merges": undefined }, /tokenizer\.ggml\.merges: missing/);
  fails({ "tokenizer.ggml.eos_token_id": 900 }, /eos_token_id: no such token/);
  fails({ "tokenizer.ggml.model": "llama" }, /tokenizer\.ggml\.scores: missing/);
  assert.is(tokenizerFromGguf(new Map()), undefined);
});

tokenizers("a token called __proto__ is a token", () => {
  const tokens = ["<|endoftext|>", "_", "p", "r", "o", "t", "__", "__proto__"];
  const files = tokenizerFromGguf(new Map<string, unknown>([
    ["tokenizer.ggml.model", "gpt2"], ["tokenizer.ggml.pre", "gpt-2"], ["tokenizer.ggml.tokens", tokens], ["tokenizer.ggml.merges", ["_ _"]],
  ]))!;
  const tokenizer = loadTokenizer(new Map(Object.entries(files).map(([name, value]) => [name, encoded(value)])));
  assert.is(tokenizer.decode([7]), "__proto__");
  assert.equal(tokenizer.encode("__p", { special: false }), [6, 2]);
});

tokenizers.run();
