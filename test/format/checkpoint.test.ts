import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/errors.ts";
import { openCheckpoint, type Bnb4Tensor, type DenseTensor } from "../../src/format/checkpoint.ts";
import { parseModelConfig } from "../../src/format/model-config.ts";
import { encodeSafetensors, readSafetensors, type HostTensor } from "../../src/format/safetensors.ts";
import { parseShardIndex, planShards, shardIndex } from "../../src/format/shards.ts";
import { memoryFolder } from "../../src/io/memory.ts";
import { openSource } from "../../src/io/node.ts";
import { countingFolder, expectError, tinyFiles, tinyTensors, TINY_CONFIG } from "../support/formats.ts";

const test = suite("checkpoints");

test("the demo model: Transformers 5, one file, bf16, tied", async () => {
  const checkpoint = await openCheckpoint(await openSource("src/demo"));
  assert.equal(checkpoint.config, {
    modelType: "llama", hiddenSize: 192, numAttentionHeads: 6, numKeyValueHeads: 2, headDim: 32, maxPositionEmbeddings: 512, vocabSize: 2048, intermediateSize: 512,
    numHiddenLayers: 6, rmsNormEps: 1e-5, ropeTheta: 10000, ropeScaling: undefined, tieWordEmbeddings: true, attentionBias: false, mlpBias: false,
    eosTokenIds: [0], bosTokenId: 0, padTokenId: 0,
  });
  assert.is(checkpoint.tensors.size, 56);
  const all = await readSafetensors(await openSource("src/demo"), "model.safetensors");
  const tensor = checkpoint.tensors.get("model.layers.3.mlp.up_proj.weight") as DenseTensor;
  assert.equal([tensor.dtype, tensor.storage, tensor.shape, tensor.storageBytes], ["bf16", "BF16", [512, 192], 512 * 192 * 2]);
  assert.equal(await tensor.read(1001, 1500), all.get(tensor.name)!.data.slice(1001, 1500));
  assert.equal([...(await checkpoint.tokenizerFiles()).keys()], ["tokenizer.json", "tokenizer_config.json", "generation_config.json"]);
  assert.match(await checkpoint.fingerprint(), /^[0-9a-f]{64}$/);
  await checkpoint.close();
});

test("a double-quantized model of Transformers and bitsandbytes", async () => {
  const folder = await openSource("test/golden/tiny/model-nf4-dq");
  const checkpoint = await openCheckpoint(folder);
  const all = await readSafetensors(folder, "model.safetensors");
  const name = "model.layers.0.mlp.down_proj.weight";
  const tensor = checkpoint.tensors.get(name) as Bnb4Tensor;
  assert.is(tensor.kind, "bnb4");
  assert.equal(tensor.state, { quantType: "nf4", blocksize: 64, dtype: "float32", shape: [192, 512], nested: { blocksize: 256, offset: 0.1879018098115921 } });
  assert.equal(await tensor.packed(100, 200), (all.get(name)!.data as Uint8Array).slice(100, 200));
  assert.equal(await tensor.absmax(), all.get(`${name}.absmax`)!.data);
  assert.equal(tensor.quantMap, all.get(`${name}.quant_map`)!.data);
  assert.equal(tensor.nestedAbsmax, all.get(`${name}.nested_absmax`)!.data);
  assert.equal(tensor.nestedQuantMap, all.get(`${name}.nested_quant_map`)!.data);
  const stored = [...all.values()].filter((t) => t.name.startsWith(name)).reduce((sum, t) => sum + t.data.byteLength, 0);
  assert.is(tensor.storageBytes, stored);
  assert.is([...checkpoint.tensors.values()].filter((t) => t.kind === "bnb4").length, 42);
  await checkpoint.close();
});

test("biases, an own head and llama3 scaling", async () => {
  const { config, tensors, close } = await openCheckpoint(await openSource("test/golden/odd/model"));
  assert.equal(config.ropeScaling, { type: "llama3", factor: 8, lowFreqFactor: 1, highFreqFactor: 4, originalMaxPositionEmbeddings: 40 });
  assert.equal([config.ropeTheta, config.headDim, config.attentionBias, config.mlpBias], [1000, 32, true, true]);
  for (const name of ["lm_head.weight", "model.layers.1.self_attn.o_proj.bias", "model.layers.0.mlp.down_proj.bias"]) assert.ok(tensors.has(name), name);
  await close();
});

const base = { ...TINY_CONFIG };
test("the spellings of Transformers 4", () => {
  assert.is(parseModelConfig({ ...base, rope_theta: 5e5, rope_scaling: null }, "c").ropeTheta, 5e5);
  assert.equal(parseModelConfig({ ...base, rope_scaling: { type: "linear", factor: 2 } }, "c").ropeScaling, { type: "linear", factor: 2 });
  assert.equal(parseModelConfig({ ...base, eos_token_id: [1, 2] }, "c").eosTokenIds, [1, 2]);
  const { headDim, numKeyValueHeads, rmsNormEps, maxPositionEmbeddings } = parseModelConfig({ ...base, num_key_value_heads: null, head_dim: null, pad_token_id: -1 }, "c");
  assert.equal([headDim, numKeyValueHeads, rmsNormEps, maxPositionEmbeddings], [4, 2, 1e-6, 2048]);
});

test("shards with an index read as one file does", async () => {
  const tensors = [...tinyTensors().values()];
  const groups = planShards(tensors.map((t) => ({ tensor: t, bytes: t.data.byteLength })), 500);
  assert.ok(groups.length > 2);
  assert.match(groups[1].file, /^model-00002-of-0000\d\.safetensors$/);
  const map = new Map(groups.flatMap(({ file, units }) => units.map(({ tensor }) => [tensor.name, file] as const)));
  const index = shardIndex(map, 1234);
  assert.equal(parseShardIndex(index, "index"), new Map([...map].sort(([a], [b]) => (a < b ? -1 : 1))));
  const files: [string, Uint8Array | string][] = groups.map(({ file, units }) => [file, encodeSafetensors(units.map(({ tensor }) => tensor))]);
  const sharded = await openCheckpoint(memoryFolder("sharded", [["config.json", JSON.stringify(base)], ["model.safetensors.index.json", index], ...files]));
  const single = await openCheckpoint(memoryFolder("single", tinyFiles()));
  assert.equal([...sharded.tensors.keys()], [...single.tensors.keys()]);
  for (const [name, tensor] of single.tensors) assert.equal(await (sharded.tensors.get(name) as DenseTensor).read(3, 8), await (tensor as DenseTensor).read(3, 8));
  assert.is(await sharded.fingerprint(), await single.fingerprint());
});

test("a plan cuts before the unit that would be too much, and keeps one that is too large alone", () => {
  const sizes = (plan: { units: readonly { bytes: number }[] }[]): number[][] => plan.map(({ units }) => units.map(({ bytes }) => bytes));
  assert.equal(sizes(planShards([{ bytes: 3 }, { bytes: 3 }, { bytes: 4 }, { bytes: 30 }, { bytes: 1 }], 10)), [[3, 3, 4], [30], [1]]);
  assert.is(planShards([{ bytes: 3 }], 10)[0].file, "model.safetensors");
});

test("the fingerprint sees a changed weight", async () => {
  const one = await openCheckpoint(memoryFolder("a", tinyFiles()));
  const tensors = tinyTensors();
  (tensors.get("model.norm.weight")!.data as Float32Array)[3] += 1;
  const other = await openCheckpoint(memoryFolder("a", tinyFiles(tensors)));
  assert.is.not(await one.fingerprint(), await other.fingerprint());
});

test("a tied model may have a head all the same; old files have frequencies", async () => {
  const tensors = tinyTensors();
  for (const [name, shape] of [["lm_head.weight", [5, 8]], ["model.layers.0.self_attn.rotary_emb.inv_freq", [2]]] as const) {
    tensors.set(name, { name, dtype: "F32", shape, data: new Float32Array(shape.reduce<number>((a, b) => a * b, 1)) });
  }
  const checkpoint = await openCheckpoint(memoryFolder("m", tinyFiles(tensors)));
  assert.is(checkpoint.tensors.size, 11);
});

const wrong: [string, RegExp, (tensors: Map<string, HostTensor>) => void][] = [
  ["a missing tensor", /model: missing tensor: expected model\.norm\.weight \[8\], got none/, (t) => t.delete("model.norm.weight")],
  ["a wrong shape", /k_proj\.weight: shape: expected \[4,8\] as the config says, got \[8,4\]/, (t) => { const k = t.get("model.layers.0.self_attn.k_proj.weight")!; t.set(k.name, { ...k, shape: [8, 4] }); }],
  ["a layer too many", /layers\.1\.input_layernorm\.weight: unknown tensor/, (t) => { const name = "model.layers.1.input_layernorm.weight"; t.set(name, { name, dtype: "F32", shape: [8], data: new Float32Array(8) }); }],
  ["a bias that the config denies", /q_proj\.bias: unknown tensor/, (t) => { const name = "model.layers.0.self_attn.q_proj.bias"; t.set(name, { name, dtype: "F32", shape: [8], data: new Float32Array(8) }); }],
  ["a dtype that is no float", /norm\.weight: dtype: expected F32, F16 or BF16, got I32/, (t) => t.set("model.norm.weight", { name: "model.norm.weight", dtype: "I32", shape: [8], data: new Int32Array(8) })],
];
for (const [what, pattern, change] of wrong) {
  test(`${what} is refused by name, and nothing stays open`, async () => {
    const tensors = tinyTensors();
    change(tensors);
    const folder = countingFolder(tinyFiles(tensors));
    await expectError(() => openCheckpoint(folder), FormatError, pattern);
    assert.is(folder.live, 0);
  });
}

test("the golden file still opens when read from memory", async () => {
  const names = ["config.json", "model.safetensors"];
  const files = await Promise.all(names.map(async (n) => [n, new Uint8Array(await readFile(`test/golden/odd/model-nf4-dq/${n}`))] as const));
  const folder = countingFolder(files);
  const checkpoint = await openCheckpoint(folder);
  assert.is(folder.live, 1);
  await checkpoint.close();
  assert.is(folder.live, 0);
});

test.run();
