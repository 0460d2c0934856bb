import fc from "fast-check";
import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/errors.ts";
import { openCheckpoint } from "../../src/format/checkpoint.ts";
import { parseModelConfig } from "../../src/format/model-config.ts";
import { encodeSafetensors, readSafetensors, type HostTensor } from "../../src/format/safetensors.ts";
import { memoryFolder } from "../../src/io/memory.ts";
import { openSource } from "../../src/io/node.ts";
import { countingFolder, expectError, tinyFiles, tinyTensors, TINY_CONFIG } from "../support/formats.ts";

const test = suite("malformed models");

type Json = Record<string, unknown>;

const configs: [string, Json, RegExp][] = [
  ["another family", { model_type: "qwen2" }, /config: model family: expected llama, got qwen2\n {2}hint: SmolLM2, TinyLlama, Llama 2 and Llama 3/],
  ["no family", { model_type: undefined }, /model family: expected llama, got nothing/],
  ["another activation", { hidden_act: "gelu" }, /hidden_act: expected "silu", got "gelu"/],
  ["no vocabulary", { vocab_size: undefined }, /vocab_size: expected an integer of at least 1, got nothing/],
  ["no layers", { num_hidden_layers: 0 }, /num_hidden_layers: expected an integer of at least 1, got 0/],
  ["half a head", { num_attention_heads: 3 }, /config: num_key|head_dim/],
  ["heads that do not divide", { num_attention_heads: 4, num_key_value_heads: 3 }, /num_key_value_heads: expected a divisor of num_attention_heads \(4\), got 3/],
  ["an odd head", { head_dim: 5 }, /head_dim: expected an even number, got 5/],
  ["an epsilon of 0", { rms_norm_eps: 0 }, /rms_norm_eps: expected a number above 0, got 0/],
  ["a flag that is text", { tie_word_embeddings: "yes" }, /tie_word_embeddings: expected true or false, got "yes"/],
  ["yarn", { rope_scaling: { rope_type: "yarn", factor: 2 } }, /config: rope_scaling: kind of rope scaling: expected default, linear or llama3, got yarn/],
  ["dynamic, as Transformers 5 spells it", { rope_parameters: { rope_type: "dynamic", rope_theta: 1e4 } }, /rope_parameters: kind of rope scaling: .* got dynamic/],
  ["linear without a factor", { rope_scaling: { type: "linear" } }, /rope_scaling: factor/],
  ["llama3 without its parameters", { rope_scaling: { type: "llama3", factor: 8 } }, /low_freq_factor: expected a number above 0, got nothing/],
  ["half a rotation", { partial_rotary_factor: 0.5 }, /partial_rotary_factor: expected 1, got 0\.5/],
  ["an end of sequence that is text", { eos_token_id: ["a"] }, /eos_token_id/],
];
for (const [what, change, pattern] of configs) test(`config: ${what}`, () => expectError(() => parseModelConfig({ ...TINY_CONFIG, ...change }, "config"), FormatError, pattern));

const quantizations: [string, unknown, RegExp][] = [
  ["GPTQ", { quant_method: "gptq", bits: 4 }, /quantization: expected bitsandbytes in 4 bits, or none, got gptq\n {2}hint: start from the original model/],
  ["8 bits", { quant_method: "bitsandbytes", load_in_8bit: true }, /got bitsandbytes in 8 bits \(LLM\.int8\)/],
  ["neither", { quant_method: "bitsandbytes" }, /quantization_config: expected load_in_4bit/],
  ["no method", {}, /quantization: .* got nothing/],
  ["a list", [], /quantization_config: expected an object/],
];
for (const [what, quantization_config, pattern] of quantizations) {
  test(`quantization: ${what}`, () => expectError(() => openCheckpoint(memoryFolder("m", tinyFiles(tinyTensors(), { ...TINY_CONFIG, quantization_config }))), FormatError, pattern));
}

const weights = tinyFiles().get("model.safetensors")!;
const config: [string, string] = ["config.json", JSON.stringify(TINY_CONFIG)];
const index = (map: unknown): [string, string] => ["model.safetensors.index.json", JSON.stringify({ weight_map: map })];
const folders: [string, [string, Uint8Array | string][], RegExp][] = [
  ["config.json that is no JSON", [["config.json", "{"]], /model\/config\.json: content: expected JSON/],
  ["config.json that is a list", [["config.json", "[]"]], /expected a JSON object, got \[\]/],
  ["no weights", [config], /weights: expected model\.safetensors or model\.safetensors\.index\.json, got neither/],
  ["pickled weights", [config, ["pytorch_model.bin", ""]], /got pytorch_model\.bin\n {2}hint: pickled weights can run code/],
  ["an index that is no JSON", [config, ["model.safetensors.index.json", "x"]], /index\.json: content: expected JSON/],
  ["an index without a map", [config, index(undefined)], /weight_map: expected an object/],
  ["an index that names a file elsewhere", [config, index({ a: "../secret.safetensors" })], /file of a: expected a \.safetensors file in the same folder, got "\.\.\/secret\.safetensors"/],
  ["an index with an absolute path", [config, index({ a: "/etc/passwd.safetensors" })], /file of a/],
  ["an index with a Windows path", [config, index({ a: "..\\x.safetensors" })], /file of a/],
  ["an index that names another kind of file", [config, index({ a: "x.bin" })], /file of a/],
  ["an index that names no string", [config, index({ a: 1 })], /file of a/],
  ["a shard that is not there", [config, index({ a: "x.safetensors" })], /x\.safetensors: no such file/],
  ["a tensor that is not in its shard", [config, index({ a: "x.safetensors" }), ["x.safetensors", weights]], /missing tensor: expected a in x\.safetensors/],
  ["a tensor in two shards", [config, index({ a: "x.safetensors", b: "y.safetensors" }), ["x.safetensors", weights], ["y.safetensors", weights]], /expected each tensor in one file, got .*, which is also in model\//],
];
for (const [what, files, pattern] of folders) {
  test(what, async () => {
    const folder = countingFolder(files);
    await expectError(() => openCheckpoint(folder), FormatError, pattern);
    assert.is(folder.live, 0);
  });
}

const golden = await readSafetensors(await openSource("test/golden/odd/model-nf4-dq"), "model.safetensors");
const goldenConfig = JSON.parse(await readFile("test/golden/odd/model-nf4-dq/config.json", "utf8")) as Json;
const W = "model.layers.1.mlp.up_proj.weight";
const STATE = `${W}.quant_state.bitsandbytes__nf4`;

function quantized(change: (tensors: Map<string, HostTensor>) => void): Map<string, Uint8Array | string> {
  const tensors = new Map(golden);
  change(tensors);
  return tinyFiles(tensors, goldenConfig);
}

function withState(change: (state: Json) => void): (tensors: Map<string, HostTensor>) => void {
  return (tensors) => {
    const state = JSON.parse(new TextDecoder().decode(golden.get(STATE)!.data as Uint8Array)) as Json;
    change(state);
    const data = new TextEncoder().encode(JSON.stringify(state));
    tensors.set(STATE, { name: STATE, dtype: "U8", shape: [data.length], data });
  };
}

const rename = (from: string, to: string) => (tensors: Map<string, HostTensor>): void => {
  const tensor = tensors.get(from)!;
  tensors.delete(from);
  tensors.set(to, { ...tensor, name: to });
};
const floats = (name: string, length: number, dtype: "F32" | "F64" = "F32"): HostTensor => ({ name, dtype, shape: [length], data: dtype === "F32" ? new Float32Array(length) : new Float64Array(length) });

const states: [string, (tensors: Map<string, HostTensor>) => void, RegExp][] = [
  ["no state", (t) => void t.delete(STATE), /up_proj\.weight: dtype: expected F32, F16 or BF16, got U8\n {2}hint: a weight in 4 bits needs its \.quant_state/],
  ["two states", (t) => { const s = golden.get(STATE)!; const name = STATE.replace("nf4", "fp4"); t.set(name, { ...s, name }); }, /one, got two|quant_type/],
  ["the key of another type", rename(STATE, STATE.replace("nf4", "fp4")), /quant_type: expected "fp4", as its key says, got "nf4"/],
  ["an unknown type", (t) => { rename(STATE, STATE.replace("nf4", "nf3"))(t); }, /quant_type/],
  ["a state that is no JSON", (t) => t.set(STATE, { name: STATE, dtype: "U8", shape: [1], data: Uint8Array.of(0x7b) }), /quant_state: content: expected JSON/],
  ["a state of another dtype", (t) => t.set(STATE, floats(STATE, 4)), /dtype of the quantization state: expected U8, got F32/],
  ["an unknown blocksize", withState((s) => { s["blocksize"] = 63; }), /blocksize: expected 32, 64, .* got 63/],
  ["another blocksize", withState((s) => { s["blocksize"] = 128; }), /absmax: dtype and shape: expected U8 \[120\], got U8 \[240\]/],
  ["an unknown dtype", withState((s) => { s["dtype"] = "float64"; }), /dtype: expected float32, float16 or bfloat16, got "float64"/],
  ["a shape that is none", withState((s) => { s["shape"] = [160, -96]; }), /shape: expected a list of positive integers/],
  ["a shape beyond 2^53", withState((s) => { s["shape"] = [2 ** 40, 2 ** 40]; }), /shape: expected fewer than 2\^53 elements/],
  ["another shape of other size", withState((s) => { s["shape"] = [160, 98]; }), /bytes of the codes: expected 7840, as the shape in quant_state says, got 7680/],
  ["another shape of the same size", withState((s) => { s["shape"] = [96, 160]; }), /up_proj\.weight: shape: expected \[160,96\] as the config says, got \[96,160\]/],
  ["an unknown key", withState((s) => { s["surprise"] = 1; }), /key of the quantization state: expected .* got surprise/],
  ["another nested blocksize", withState((s) => { s["nested_blocksize"] = 128; }), /nested_blocksize: expected 256, got 128/],
  ["another nested dtype", withState((s) => { s["nested_dtype"] = "float16"; }), /nested_dtype/],
  ["an offset that is text", withState((s) => { s["nested_offset"] = "0"; }), /nested_offset: expected a finite number/],
  ["half a nesting", withState((s) => { delete s["nested_offset"]; }), /nested_offset/],
  ["nested tensors without a nested state", withState((s) => { for (const k of Object.keys(s)) if (k.startsWith("nested")) delete s[k]; }), /double quantization: .* got nested_absmax alone/],
  ["a nested state without nested tensors", (t) => void t.delete(`${W}.nested_absmax`), /double quantization: .* got nested_\* alone/],
  ["no absmax", (t) => void t.delete(`${W}.absmax`), /missing tensor: expected .*up_proj\.weight\.absmax/],
  ["no table", (t) => void t.delete(`${W}.quant_map`), /missing tensor: expected .*quant_map/],
  ["a table of 15", (t) => t.set(`${W}.quant_map`, floats(`${W}.quant_map`, 15)), /quant_map: dtype and shape: expected F32 \[16\], got F32 \[15\]/],
  ["a table in float64", (t) => t.set(`${W}.quant_map`, floats(`${W}.quant_map`, 16, "F64")), /expected F32 \[16\], got F64 \[16\]/],
  ["nested constants too few", (t) => t.set(`${W}.nested_absmax`, floats(`${W}.nested_absmax`, 2)), /nested_absmax: dtype and shape: expected F32 \[1\], got F32 \[2\]/],
  ["no codes", (t) => void t.delete(W), /missing tensor: expected model\.layers\.1\.mlp\.up_proj\.weight/],
  ["LLM.int8 beside it", (t) => t.set("model.norm.SCB", floats("model.norm.SCB", 2)), /model\.norm\.SCB: unknown tensor/],
];
for (const [what, change, pattern] of states) test(`4 bits: ${what}`, () => expectError(() => openCheckpoint(memoryFolder("m", quantized(change))), FormatError, pattern));

test("the golden model itself opens", async () => {
  assert.is((await openCheckpoint(memoryFolder("m", quantized(() => {})))).tensors.size, 35);
});

test("property: a changed header of a 4-bit model opens or is a FormatError", async () => {
  const bytes = encodeSafetensors([...golden.values()]);
  const header = Number(new DataView(bytes.buffer).getBigUint64(0, true)) + 8;
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(header), fc.nat(255)), { minLength: 1, maxLength: 2 }), async (changes) => {
    const file = bytes.slice();
    for (const [at, value] of changes) file[at] = value;
    const folder = countingFolder([["config.json", JSON.stringify(goldenConfig)], ["model.safetensors", file]]);
    try {
      await (await openCheckpoint(folder)).close();
    } catch (error) {
      assert.instance(error, FormatError);
    }
    assert.is(folder.live, 0);
  }), { numRuns: 400, seed: 1 });
});

test.run();
