import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/errors.ts";
import { openCheckpoint, type DenseTensor } from "../../src/format/checkpoint.ts";
import { fileRow, huggingFaceName } from "../../src/format/gguf-llama.ts";
import { ggufTensor } from "../../src/format/gguf-weights.ts";
import { f16ToNumber } from "../../src/format/gguf-blocks.ts";
import { openGguf } from "../../src/format/gguf.ts";
import { readSafetensors } from "../../src/format/safetensors.ts";
import { memoryFolder, memorySource } from "../../src/io/memory.ts";
import { openSource } from "../../src/io/node.ts";
import { expectError } from "../support/formats.ts";
import { encodeGguf, tinyGguf, type GgufParts } from "../support/gguf.ts";

const test = suite("GGUF");
const bytes = new Uint8Array(await readFile("test/golden/gguf/types.gguf"));
const file = await openGguf(memorySource("types.gguf", bytes));
const values = await readSafetensors(await openSource("test/golden/gguf"), "values.safetensors");

const toF32: Record<string, (bits: number) => number> = {
  F16: f16ToNumber, BF16: (bits) => new Float32Array(Uint32Array.of(bits << 16).buffer)[0],
};

for (const type of ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q6_K"]) {
  test(`${type}: the values that llama.cpp's gguf package gives, bit for bit`, async () => {
    const tensor = ggufTensor(file, file.tensors.get(`t.${type}`)!, "t");
    assert.equal(tensor.shape, [6, 512]);
    const expected = values.get(`t.${type}`)!.data as Float32Array;
    for (const [begin, end] of [[0, 3072], [0, 1], [255, 257], [700, 2049], [3071, 3072], [5, 5]]) {
      const read = await tensor.read(begin, end);
      const got = toF32[type] ? Float32Array.from(read, toF32[type]) : (read as Float32Array);
      assert.is(Buffer.compare(Buffer.from(got.slice().buffer), Buffer.from(expected.slice(begin, end).buffer)), 0, `[${begin}, ${end})`);
    }
  });
}

for (const type of ["Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q5_K", "IQ4_NL"]) {
  test(`${type} is refused by name`, () => expectError(() => ggufTensor(file, file.tensors.get(`t.${type}`)!, "t"), FormatError, new RegExp(`t\\.${type}: GGUF type: expected F32, F16, BF16, Q4_0, Q4_1, Q8_0, Q4_K, Q6_K, got ${type}`)));
}

test("metadata of every kind", () => {
  assert.equal([...file.metadata], [["general.architecture", "llama"], ["answer.u32", 42], ["answer.str", "häß 猫"], ["answer.arr", Int32Array.of(1, 2, 3)], ["answer.bool", true]]);
});

test("scalars, 64 bits and arrays; a token keeps its byte order mark", async () => {
  const metadata: GgufParts["metadata"] = [
    ["u8", 0, 255], ["i8", 1, -1], ["u16", 2, 65535], ["i16", 3, -2], ["f32", 6, 0.5], ["u64", 10, 2n ** 40n], ["huge", 10, 2n ** 63n], ["i64", 11, -5n], ["f64", 12, 1e300],
    ["strings", 9, { type: 8, items: ["\ufeffa", ""] }], ["bools", 9, { type: 7, items: [1, 0] }], ["longs", 9, { type: 10, items: [1n] }],
  ];
  const read = (await openGguf(memorySource("m", encodeGguf({ metadata })))).metadata;
  assert.equal(Object.fromEntries(read), {
    u8: 255, i8: -1, u16: 65535, i16: -2, f32: 0.5, u64: 2 ** 40, huge: 2n ** 63n, i64: -5, f64: 1e300,
    strings: ["\ufeffa", ""], bools: Uint8Array.of(1, 0), longs: BigUint64Array.of(1n),
  });
});

test("a header longer than the first read", async () => {
  const items = Array.from({ length: 90000 }, (_, i) => `a token of some length ${i}`);
  const { metadata } = await openGguf(memorySource("m", encodeGguf({ metadata: [["tokens", 9, { type: 8, items }]] })));
  assert.equal(metadata.get("tokens"), items);
});

test("version 2 is read", async () => assert.is((await openGguf(memorySource("m", encodeGguf({ version: 2 })))).version, 2));

test("names", () => {
  assert.is(huggingFaceName("blk.12.attn_output.bias"), "model.layers.12.self_attn.o_proj.bias");
  assert.is(huggingFaceName("output.weight"), "lm_head.weight");
  assert.is(huggingFaceName("blk.0.token_embd.weight"), undefined);
  assert.is(huggingFaceName("attn_q.weight"), undefined);
  assert.is(huggingFaceName("blk.0.constructor.weight"), undefined);
});

test("llama.cpp's order of rows: pair (i, i + d/2) of a head lies side by side", () => {
  assert.equal(Array.from({ length: 8 }, (_, row) => fileRow(row, 8)), [0, 2, 4, 6, 1, 3, 5, 7]);
});

test("a model: config, names, rows back in Hugging Face's order, in any slice", async () => {
  const checkpoint = await openCheckpoint(memoryFolder("tiny", [["tiny.gguf", tinyGguf()]]), { ggufTokenizer: (metadata) => ({ "tokenizer.json": { model: metadata.get("tokenizer.ggml.model") } }) });
  const { config } = checkpoint;
  assert.equal([config.hiddenSize, config.numAttentionHeads, config.numKeyValueHeads, config.headDim, config.vocabSize], [64, 4, 2, 16, 7]);
  assert.equal([config.rmsNormEps, config.ropeTheta, config.tieWordEmbeddings, config.attentionBias, config.mlpBias], [1e-5, 10000, true, true, false]);
  assert.equal([config.bosTokenId, config.eosTokenIds, config.ropeScaling], [1, [2], undefined]);
  assert.equal([...(await checkpoint.tokenizerFiles()).keys()], ["tokenizer.json"]);
  // In the file every q weight is the number of its row; row h·16 + 2i + j is row h·16 + 8j + i here.
  const q = checkpoint.tensors.get("model.layers.0.self_attn.q_proj.weight") as DenseTensor;
  const rows = await q.read(0, 64 * 64);
  for (let h = 0; h < 4; h++) for (let j = 0; j < 2; j++) for (let i = 0; i < 8; i++) assert.is(rows[(h * 16 + j * 8 + i) * 64 + 5], h * 16 + 2 * i + j);
  for (const [begin, end] of [[0, 1], [63, 65], [1000, 3000], [4095, 4096]]) assert.equal(await q.read(begin, end), rows.slice(begin, end));
  const bias = (await (checkpoint.tensors.get("model.layers.0.self_attn.k_proj.bias") as DenseTensor).read(0, 32)) as Float32Array;
  assert.equal([...bias.subarray(0, 16)], [0, 2, 4, 6, 8, 10, 12, 14, 1, 3, 5, 7, 9, 11, 13, 15]);
  const v = (await (checkpoint.tensors.get("model.layers.0.self_attn.v_proj.bias") as DenseTensor).read(0, 3)) as Float32Array;
  assert.equal([...v], [0, 1, 2]);
});

function factors(factor: number, theta = 10000, headDim = 16): number[] {
  return Array.from({ length: headDim / 2 }, (_, i) => {
    const wavelength = 2 * Math.PI * theta ** ((2 * i) / headDim);
    if (wavelength < 8192 / 4) return 1;
    if (wavelength > 8192 / 1) return factor;
    const smooth = (8192 / wavelength - 1) / 3;
    return 1 / ((1 - smooth) / factor + smooth);
  });
}

test("rope_freqs are recognised as llama3 scaling", async () => {
  const { config } = await openCheckpoint(memoryFolder("t", [["t.gguf", tinyGguf({ ropeFreqs: factors(32) })]]));
  assert.equal(config.ropeScaling, { type: "llama3", factor: 32, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 8192 });
});

test("other rope_freqs are refused", async () => {
  const wrong = factors(32);
  wrong[7] = 31;
  await expectError(() => openCheckpoint(memoryFolder("t", [["t.gguf", tinyGguf({ ropeFreqs: wrong })]])), FormatError, /rope_freqs\.weight: expected the divisors of llama3 scaling/);
});

const metadata: [string, RegExp, GgufParts["metadata"]][] = [
  ["another family", /model family: expected llama, got qwen2/, [["general.architecture", 8, "qwen2"]]],
  ["a mixture of experts", /llama\.expert_count: expected 0, got 8/, [["llama.expert_count", 4, 8]]],
  ["a part of a model", /split\.count: expected a model in one file, got 3 parts/, [["split.count", 2, 3]]],
  ["partial rotation", /llama\.rope\.dimension_count: expected 16, the size of a head, got 8/, [["llama.rope.dimension_count", 4, 8]]],
  ["yarn", /llama\.rope\.scaling\.type: expected none or linear, got yarn/, [["llama.rope.scaling.type", 8, "yarn"]]],
  ["heads that change from layer to layer", /llama\.attention\.head_count: expected one number for all layers, got 4,2/, [["llama.attention.head_count", 9, { type: 5, items: [4, 2] }]]],
  ["an adapter", /general\.type: expected model, got adapter/, [["general.type", 8, "adapter"]]],
];
for (const [what, pattern, pairs] of metadata) {
  test(`${what} is refused by name`, () => expectError(() => openCheckpoint(memoryFolder("t", [["t.gguf", tinyGguf({ metadata: pairs })]])), FormatError, pattern));
}

test("linear scaling, and numbers that are the same for all layers", async () => {
  const { config } = await openCheckpoint(memoryFolder("t", [["t.gguf", tinyGguf({ metadata: [["llama.rope.scaling.type", 8, "linear"], ["llama.rope.scaling.factor", 6, 4], ["llama.attention.head_count_kv", 9, { type: 5, items: [2, 2] }]] })]]));
  assert.equal(config.ropeScaling, { type: "linear", factor: 4 });
});

test("a tensor that no Llama has", async () => {
  await expectError(() => openCheckpoint(memoryFolder("t", [["t.gguf", tinyGguf({ extra: "blk.0.attn_q_norm.weight" })]])), FormatError, /blk\.0\.attn_q_norm\.weight: unknown tensor/);
});

test("several GGUF files in a folder, and none", async () => {
  await expectError(() => openCheckpoint(memoryFolder("m", [["a.gguf", ""], ["b.gguf", ""]])), FormatError, /GGUF files: expected one, got a\.gguf, b\.gguf/);
  await expectError(() => openCheckpoint(memoryFolder("m", [["README.md", ""]])), FormatError, /model: expected config\.json or a \.gguf file, got neither/);
  await expectError(() => openCheckpoint(memoryFolder("m", [["adapter_config.json", ""]])), FormatError, /got an adapter\n  hint: give this folder as --adapter/);
});

test.run();
