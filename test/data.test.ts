import fc from "fast-check";
import { readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { encodeCompletion } from "../src/data/completion.ts";
import { loadDataset, type Dataset, type DatasetOptions } from "../src/data/dataset.ts";
import { planSteps, type StepPlanOptions } from "../src/data/step-plan.ts";
import { FormatError, NibbleError, ShapeError } from "../src/errors.ts";
import { permutation } from "../src/random.ts";
import { tokenizerFromGguf } from "../src/text/gguf-tokenizer.ts";
import { loadTokenizer } from "../src/text/tokenizer.ts";

const read = (path: string): Uint8Array => new Uint8Array(readFileSync(path));
const demo = loadTokenizer(new Map(["tokenizer.json", "tokenizer_config.json"].map((name) => [name, read(`src/demo/${name}`)])));
const spm = spmTokenizer();
const EOS = demo.eosId!;

function spmTokenizer(): ReturnType<typeof loadTokenizer> {
  const { tokens, scores, types } = JSON.parse(readFileSync("test/golden/text/sentencepiece.json", "utf8"));
  const metadata = { model: "llama", tokens, scores, token_type: types, bos_token_id: 1, eos_token_id: 2 };
  const files = tokenizerFromGguf(new Map(Object.entries(metadata).map(([key, value]) => [`tokenizer.ggml.${key}`, value])))!;
  return loadTokenizer(new Map(Object.entries(files).map(([name, value]) => [name, new TextEncoder().encode(JSON.stringify(value))])));
}

function load(content: string | Uint8Array, fileName = "a.jsonl", given: Partial<DatasetOptions> = {}): Dataset {
  const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
  return loadDataset(bytes, { fileName, tokenizer: demo, maxLength: 32, vocabSize: 2048, ...given });
}

function fails(content: string | Uint8Array, pattern: RegExp, given: Partial<DatasetOptions> = {}, fileName = "a.jsonl"): void {
  assert.throws(() => load(content, fileName, given), (e: unknown) => {
    assert.instance(e, NibbleError);
    assert.match((e as Error).message, pattern);
    return e instanceof FormatError || e instanceof ShapeError;
  });
}

const line = (row: unknown): string => `${JSON.stringify(row)}\n`;
const ids = (text: string): number[] => demo.encode(text, { special: false });

const text = suite("data: .txt");

text("consecutive windows of the whole text, the rest left out", () => {
  const alice = read("src/demo/alice.txt");
  const all = ids(new TextDecoder().decode(alice));
  const { rows, tokens, leftOver } = load(alice, "alice.txt", { maxLength: 128 });
  assert.is(rows.length, Math.floor(all.length / 128));
  assert.is(tokens + leftOver, all.length);
  rows.forEach(({ inputIds, labels }, i) => {
    assert.equal([...inputIds], all.slice(i * 128, (i + 1) * 128));
    assert.equal(labels, inputIds);
  });
});

text("no special tokens, even where the tokenizer adds some", () => {
  const { rows } = load("the Mock Turtle said to Alice", "a.txt", { tokenizer: spm, maxLength: 4 });
  assert.is.not(rows[0].inputIds[0], 1);
});

text("too short, empty, not UTF-8: errors that say so", () => {
  fails("Hello", /a\.txt: too short for one window: expected at least 32 tokens, got 3\n.*--max-length 3/, {}, "a.txt");
  fails(" \n", /a\.txt: empty/, {}, "a.txt");
  fails(Uint8Array.of(97, 10, 98, 10, 0xff, 10), /a\.txt:3: not UTF-8/, {}, "a.txt");
  fails("x", /unknown kind of data.*a\.csv/, {}, "a.csv");
  fails("Hello", /maxLength/, { maxLength: 1 }, "a.txt");
  fails("Hello", /needs a tokenizer/, { tokenizer: undefined }, "a.txt");
});

text.run();

const jsonl = suite("data: .jsonl");

jsonl("text rows learn everything and end with EOS", () => {
  const { rows, truncated } = load(line({ text: "Hello, world!" }) + "\r\n" + line({ text: "Alice" }));
  assert.equal([...rows[0].inputIds], [...ids("Hello, world!"), EOS]);
  assert.equal(rows[0].labels, rows[0].inputIds);
  assert.is(rows.length, 2);
  assert.is(truncated, 0);
});

jsonl("a text that already ends with EOS gets no second one", () => {
  const { rows } = load(line({ text: "Hello<|endoftext|>" }));
  assert.equal([...rows[0].inputIds], [...ids("Hello"), EOS]);
});

jsonl("only the completion is learnt", () => {
  const { rows } = load(line({ prompt: "Alice was", completion: " beginning to get" }));
  const head = ids("Alice was");
  assert.equal([...rows[0].inputIds], [...ids("Alice was beginning to get"), EOS]);
  assert.equal([...rows[0].labels], [...head.map(() => -100), ...rows[0].inputIds.slice(head.length)]);
});

jsonl("a prefix of the tokenizer comes first and is not learnt with a prompt", () => {
  const { rows } = load(line({ prompt: "the ", completion: "Turtle" }), "a.jsonl", { tokenizer: spm });
  assert.is(rows[0].inputIds[0], 1);
  assert.is(rows[0].inputIds.at(-1), 2);
  assert.is(rows[0].labels[0], -100);
});

jsonl("long rows are cut and counted", () => {
  const { rows, truncated } = load(line({ text: "word ".repeat(60) }) + line({ text: "short" }));
  assert.is(rows[0].inputIds.length, 32);
  assert.is.not(rows[0].inputIds.at(-1), EOS);
  assert.is(truncated, 1);
});

jsonl("ids are taken as they are", () => {
  const { rows, tokens } = load(line({ input_ids: [5, 6, 7], labels: [-100, 6, -100] }) + line({ input_ids: [1, 2] }), "a.jsonl", { tokenizer: undefined });
  assert.equal(rows[0], { inputIds: Int32Array.of(5, 6, 7), labels: Int32Array.of(-100, 6, -100) });
  assert.equal(rows[1], { inputIds: Int32Array.of(1, 2), labels: Int32Array.of(1, 2) });
  assert.is(tokens, 5);
});

jsonl("bad rows are named by file and line", () => {
  const good = line({ text: "Hello there" });
  fails(`${good}{"text": `, /a\.jsonl:2: broken JSON/);
  fails(`${good}\n[1]`, /a\.jsonl:3: not an object/);
  fails(good + line({ prompt: "a", completion: "b" }), /a\.jsonl:2: rows of different kinds.*"text".*"prompt"/);
  fails(line({ text: "a", source: "b" }), /a\.jsonl:1: unknown keys.*"source"/);
  fails(line({ prompt: "a" }), /a\.jsonl:1: unknown keys/);
  fails(line({ messages: [] }), /conversations/);
  fails(line({ text: 5 }), /a\.jsonl:1: text: expected a string, got 5/);
  fails("", /a\.jsonl: no rows/);
  fails("\n\n", /a\.jsonl: no rows/);
});

jsonl("rows without a target are named", () => {
  fails(line({ text: "" }), /a\.jsonl:1: nothing to learn/);
  fails(line({ prompt: "word ".repeat(60), completion: "x" }), /nothing to learn.*\n.*--max-length/);
  fails(line({ input_ids: [1, 2], labels: [1, -100] }), /nothing to learn/);
  fails(line({ input_ids: [] }), /nothing to learn/);
});

jsonl("ids outside the vocabulary and labels that do not fit are named", () => {
  fails(line({ input_ids: [1, 2048] }), /a\.jsonl:1: input_ids\[1\]: expected 0 … 2047, got 2048/);
  fails(line({ input_ids: [1, -100] }), /input_ids\[1\]/);
  fails(line({ input_ids: [1, 2], labels: [1, -1] }), /labels\[1\].*or -100, got -1/);
  fails(line({ input_ids: [1, 2], labels: [1] }), /length of labels: expected 2, got 1/);
  fails(line({ input_ids: "12" }), /input_ids: expected a list/);
  fails(line({ input_ids: Array.from({ length: 40 }, () => 1) }), /expected at most 32, got 40\n.*--max-length 40/);
});

jsonl.run();

const completion = suite("data: prompt and completion");

completion("the ids of the prompt come first, and the whole says both texts", () => {
  const piece = fc.constantFrom("a", " ", "the", "Hello", "\n", "é", "ing", " Alice", "'s", "!", "猫", "  ");
  const string = fc.array(piece, { maxLength: 6 }).map((pieces) => pieces.join(""));
  for (const tokenizer of [demo, spm]) {
    fc.assert(fc.property(string, string, (prompt, answer) => {
      const { ids: all, boundary } = encodeCompletion(tokenizer, prompt, answer);
      const head = [...tokenizer.prefixIds, ...(prompt ? tokenizer.encode(prompt, { special: false }) : [])];
      assert.equal(all.slice(0, boundary), head);
      assert.is(tokenizer.decode(all, { skipSpecial: true }), prompt + answer);
    }));
  }
});

completion("a token across the boundary is split there", () => {
  // "ing" in one token would hide the boundary.
  const { ids: all, boundary } = encodeCompletion(demo, "the beginn", "ing");
  assert.equal(all.slice(0, boundary), ids("the beginn"));
  assert.equal(all.slice(boundary), ids("ing"));
  assert.is.not(all.join(), ids("the beginning").join());
});

completion.run();

const plan = suite("data: steps");
const base: StepPlanOptions = { rows: 10, batchSize: 2, accumulation: 2, epochs: 2, seed: 42, shuffle: true };

plan("every epoch sees every row once; its last step may be smaller", () => {
  fc.assert(fc.property(fc.integer({ min: 1, max: 40 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 3 }), fc.boolean(), (rows, batchSize, accumulation, epochs, shuffle) => {
    const { stepsPerEpoch, totalSteps, rowsOf } = planSteps({ ...base, rows, batchSize, accumulation, epochs, shuffle });
    assert.is(totalSteps, stepsPerEpoch * epochs);
    for (let epoch = 0; epoch < epochs; epoch++) {
      const seen = Array.from({ length: stepsPerEpoch }, (_, i) => rowsOf(epoch * stepsPerEpoch + i)).flat();
      const order = shuffle ? [...permutation(rows, 42, epoch)] : Array.from({ length: rows }, (_, i) => i);
      assert.equal(seen, order);
    }
  }));
});

plan("any step can be asked for first: resuming needs no state", () => {
  const whole = planSteps(base);
  const order = [5, 0, 3, 1].map((step) => planSteps(base).rowsOf(step));
  assert.equal(order, [5, 0, 3, 1].map((step) => whole.rowsOf(step)));
  assert.equal(whole.rowsOf(2).length, 2);
});

plan("maxSteps wins over epochs, which may be fractions", () => {
  assert.is(planSteps({ ...base, maxSteps: 100 }).totalSteps, 100);
  assert.is(planSteps({ ...base, epochs: 0.5 }).totalSteps, 2);
  assert.is(planSteps({ ...base, maxSteps: 100 }).rowsOf(99).length, 4);
});

plan("nonsense is refused by name", () => {
  for (const bad of [{ rows: 0 }, { batchSize: 0 }, { accumulation: 1.5 }, { maxSteps: 0 }, { epochs: 0 }, { epochs: NaN }]) {
    assert.throws(() => planSteps({ ...base, ...bad }), (e: unknown) => e instanceof ShapeError && e.message.includes(Object.keys(bad)[0]));
  }
});

plan.run();
