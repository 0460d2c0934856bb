import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, ShapeError } from "../../src/errors.ts";
import { adapterFiles, parseAdapterConfig, readAdapter, selectModules, serializeAdapterConfig, type AdapterConfig } from "../../src/format/peft.ts";
import { encodeSafetensors, readSafetensors, type HostTensor } from "../../src/format/safetensors.ts";
import { memoryFolder } from "../../src/io/memory.ts";
import { openSource } from "../../src/io/node.ts";
import { expectError } from "../support/formats.ts";

const test = suite("PEFT adapters");

for (const folder of ["tiny/qlora-nf4dq-init", "tiny/nf4dq-r16-a16-rs-init", "tiny/nf4dq-r4-a8-qv-init", "odd/odd-init"]) {
  test(`${folder}: read, and written again with the same bytes`, async () => {
    const source = await openSource(`test/golden/${folder}`);
    const { config, tensors } = await readAdapter(source);
    const files = adapterFiles(config, tensors, { steps: "3" });
    assert.equal(Buffer.from(files.get("adapter_model.safetensors") as Uint8Array), await readFile(`test/golden/${folder}/adapter_model.safetensors`));
    assert.is(files.get("adapter_config.json"), (await source.readText("adapter_config.json")).trimEnd());
    assert.match(files.get("README.md") as string, /^---\nbase_model: [^]*\| steps \| 3 \|/);
    const again = await readAdapter(memoryFolder("again", files));
    assert.equal(again, { config, tensors });
  });
}

interface Case { name: string; config: Record<string, unknown>; modules?: Record<string, { r: number; scaling: number }>; error?: string }
const { cases } = JSON.parse(await readFile("test/golden/selection.json", "utf8")) as { cases: Case[] };
const paths = Array.from({ length: 6 }, (_, i) => ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"].map((m) => `model.layers.${i}.${m}`)).flat();

for (const { name, config, modules, error } of cases) {
  test(`PEFT's choice of modules: ${name}`, async () => {
    const select = () => selectModules(parseAdapterConfig({ peft_type: "LORA", ...config }, "c"), [...paths, "lm_head"]);
    if (error) {
      try { select(); } catch (e) { return assert.ok(e instanceof ShapeError || e instanceof FormatError, String(e)); }
      assert.unreachable(`PEFT refuses: ${error}`);
    }
    const got = Object.fromEntries([...select()].map(([path, { r, scaling }]) => [path, { r, scaling }]));
    assert.equal(Object.keys(got).sort(), Object.keys(modules!).sort());
    for (const [path, want] of Object.entries(modules!)) {
      assert.is(got[path].r, want.r, path);
      assert.is(got[path].scaling, want.scaling, path);
    }
  });
}

test("Python's spellings of a regular expression", async () => {
  const config = (targetModules: string): AdapterConfig => ({ r: 1, loraAlpha: 1, loraDropout: 0, useRslora: false, targetModules, rankPattern: {}, alphaPattern: {} });
  assert.is(selectModules(config(String.raw`\A.*\.(?P<which>q|k)_proj\Z`), paths).size, 12);
  await expectError(() => selectModules(config("(*"), paths), ShapeError, /target_modules: expected a regular expression, got \(\*/);
});

test("defaults are PEFT's", () => {
  assert.equal(parseAdapterConfig({ peft_type: "LORA" }, "c"), { r: 8, loraAlpha: 8, loraDropout: 0, useRslora: false, targetModules: ["q_proj", "v_proj"], rankPattern: {}, alphaPattern: {} });
});

test("everything we implement goes through the file and back", () => {
  const config: AdapterConfig = {
    r: 4, loraAlpha: 9, loraDropout: 0.05, useRslora: true, targetModules: ["q_proj"], excludeModules: ["k_proj"], layersToTransform: [1, 2], layersPattern: ["layers"],
    rankPattern: { q_proj: 3 }, alphaPattern: { "a.b": 1.5 }, baseModel: "some/model",
  };
  assert.equal(parseAdapterConfig(JSON.parse(serializeAdapterConfig(config)) as Record<string, unknown>, "c"), config);
});

const refused: [string, unknown, RegExp][] = [
  ["use_dora", true, /use_dora is not implemented: expected its default, got true/], ["bias", "all", /bias is not implemented: expected "none"/],
  ["init_lora_weights", "pissa", /init_lora_weights is not implemented/], ["modules_to_save", ["lm_head"], /modules_to_save is not implemented/],
  ["fan_in_fan_out", true, /fan_in_fan_out/], ["peft_type", "LOHA", /peft_type is not implemented: expected "LORA", got "LOHA"/], ["task_type", "SEQ_CLS", /task_type/],
  ["trainable_token_indices", [1], /trainable_token_indices/], ["target_parameters", ["w"], /target_parameters/], ["an_option_of_next_year", 3, /an_option_of_next_year is not implemented/],
  ["r", 0, /: r: expected an integer of at least 1, got 0/], ["r", 1.5, /: r:/], ["lora_alpha", "x", /lora_alpha/], ["lora_dropout", 1, /lora_dropout/],
  ["target_modules", [], /target_modules: expected at least one/], ["target_modules", [1], /target_modules/], ["rank_pattern", { q: 0 }, /rank_pattern/],
  ["layers_to_transform", ["a"], /layers_to_transform/], ["use_rslora", 1, /use_rslora/], ["layer_replication", [[0, 1]], /layer_replication/],
];
for (const [key, value, pattern] of refused) {
  test(`${key} = ${JSON.stringify(value)} is refused by name`, () => expectError(() => parseAdapterConfig({ peft_type: "LORA", [key]: value }, "c"), FormatError, pattern));
}

test("DoRA's folder is refused by name", async () => {
  await expectError(async () => readAdapter(await openSource("test/golden/tiny/f32-r8-a16-dora-init")), FormatError, /use_dora is not implemented/);
});

const PREFIX = "base_model.model.model.layers.0.self_attn.q_proj";
const tensor = (name: string, shape: number[], dtype: "F32" | "F16" | "BF16" = "F32"): HostTensor => {
  const length = shape.reduce((a, b) => a * b, 1);
  return { name, dtype, shape, data: dtype === "F32" ? new Float32Array(length).fill(1.5) : new Uint16Array(length).fill(dtype === "F16" ? 0x3e00 : 0x3fc0) };
};
const folder = (...tensors: HostTensor[]) => memoryFolder("adapter", [["adapter_config.json", '{"peft_type": "LORA", "r": 2, "target_modules": ["q_proj"]}'], ["adapter_model.safetensors", encodeSafetensors(tensors)]]);
const A = tensor(`${PREFIX}.lora_A.weight`, [2, 3]);
const B = tensor(`${PREFIX}.lora_B.weight`, [5, 2]);

for (const dtype of ["F16", "BF16"] as const) {
  test(`matrices in ${dtype}`, async () => {
    const { tensors } = await readAdapter(folder(tensor(A.name, [2, 3], dtype), B));
    const module = tensors.get("model.layers.0.self_attn.q_proj")!;
    assert.equal([...module.a], [1.5, 1.5, 1.5, 1.5, 1.5, 1.5]);
    assert.equal([module.in, module.out, module.r, module.scaling], [3, 5, 2, 4]);
  });
}

const broken: [string, HostTensor[], RegExp][] = [
  ["no tensors", [], /at least one module, got none/],
  ["A alone", [A], /missing tensor: expected lora_A\.weight and lora_B\.weight, got lora_A alone/],
  ["another rank", [tensor(A.name, [3, 3]), B], /shape of lora_A: expected \[2, in\], got \[3,3\]/],
  ["B the wrong way round", [A, tensor(B.name, [2, 5])], /shape of lora_B: expected \[out, 2\], got \[2,5\]/],
  ["a module that the config does not name", [A, B, tensor(A.name.replace("q_proj", "k_proj"), [2, 3]), tensor(B.name.replace("q_proj", "k_proj"), [5, 2])], /k_proj: module: expected one that the config's target_modules select/],
  ["only modules that the config does not name", [tensor(A.name.replace("q_proj", "k_proj"), [2, 3]), tensor(B.name.replace("q_proj", "k_proj"), [5, 2])], /modules: expected those that the config's target_modules select/],
  ["a magnitude vector", [A, B, tensor(`${PREFIX}.lora_magnitude_vector`, [5])], /lora_magnitude_vector\n  hint: DoRA is not implemented/],
  ["a whole module", [A, B, tensor("base_model.model.lm_head.weight", [5, 3])], /lm_head\.weight\n  hint: modules trained as a whole/],
];
for (const [what, tensors, pattern] of broken) test(`${what}: refused`, () => expectError(() => readAdapter(folder(...tensors)), FormatError, pattern));

test("a pickled adapter and no adapter", async () => {
  const config = ["adapter_config.json", '{"peft_type": "LORA"}'] as const;
  await expectError(() => readAdapter(memoryFolder("a", [config, ["adapter_model.bin", ""]])), FormatError, /got adapter_model\.bin\n  hint: pickled/);
  await expectError(() => readAdapter(memoryFolder("a", [config])), FormatError, /expected adapter_model\.safetensors, got none/);
  await expectError(() => readAdapter(memoryFolder("a", [])), FormatError, /expected adapter_config\.json, got none/);
  await expectError(() => readAdapter(memoryFolder("a", [["adapter_config.json", "{"]])), FormatError, /content: expected JSON/);
});

test("golden gradients have the keys of an adapter", async () => {
  const { tensors } = await readAdapter(await openSource("test/golden/tiny/qlora-nf4dq-init"));
  const gradients = await readSafetensors(await openSource("test/golden/tiny"), "qlora-nf4dq-grads0.safetensors");
  assert.is(gradients.size, 2 * tensors.size);
});

test.run();
