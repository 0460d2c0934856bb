import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { loadModel } from "../src/commands/language-model.ts";
import { mergeTensor } from "../src/commands/merge-tensor.ts";
import { merge, type MergeOptions, type MergeResult } from "../src/commands/merge.ts";
import { quantize } from "../src/commands/quantize.ts";
import { loadDataset } from "../src/data/dataset.ts";
import { FormatError, ShapeError } from "../src/errors.ts";
import { encodeQuantState, parseQuantState } from "../src/format/quant-state.ts";
import { adapterFiles, parseAdapterConfig, readAdapter, type AdapterMatrices } from "../src/format/peft.ts";
import { encodeSafetensors, readSafetensors, type HostTensor } from "../src/format/safetensors.ts";
import { memoryFolder, MemorySink } from "../src/io/memory.ts";
import { openSource } from "../src/io/node.ts";
import type { SourceFolder } from "../src/io/types.ts";
import { dequantizeTensor } from "../src/quant/dequantize-tensor.ts";
import { quantizeTensor } from "../src/quant/quantize-tensor.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { expectError, tinyFiles, TINY_CONFIG } from "./support/formats.ts";
import { readGolden } from "./support/golden.ts";

const GOLDEN = "test/golden/tiny";
const Q_PROJ = "model.layers.0.self_attn.q_proj.weight";
const device = await WasmDevice.create({ wasm: kernels, build: "simd" });
const test = suite("merge");

async function merged(model: SourceFolder, adapter: SourceFolder, options: MergeOptions = {}): Promise<{ sink: MemorySink; result: MergeResult; weights: Map<string, HostTensor> }> {
  const sink = new MemorySink("out");
  const result = await merge({ model, adapter, output: sink, device, ...options });
  return { sink, result, weights: await readSafetensors(sink.source(), "model.safetensors") };
}

const golden = () => openSource(`${GOLDEN}/model-nf4-dq`);
const goldenAdapter = () => openSource(`${GOLDEN}/qlora-nf4dq-final`);

function farthest(a: ArrayLike<number>, b: ArrayLike<number>): number {
  assert.is(a.length, b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]));
  return most;
}

const floats = (weights: Map<string, HostTensor>, name: string): Float32Array => weights.get(name)!.data as Float32Array;

test("the weights that PEFT merged over a double-quantized base", async () => {
  const peft = readGolden("tiny/qlora-nf4dq-merged.safetensors");
  const { weights } = await merged(await golden(), await goldenAdapter(), { dtype: "f32" });
  const names = peft.names.filter((name) => name !== Q_PROJ);
  assert.is(names.length, 2);
  for (const name of names) assert.ok(farthest(floats(weights, name), peft.tensor(name)) < 1e-6, name);
});

test("one weight alone has the bits of the merged model's", async () => {
  const { weights } = await merged(await golden(), await goldenAdapter(), { dtype: "f32" });
  const adapter = await goldenAdapter();
  const path = "model.layers.1.mlp.down_proj";
  const { config, tensors } = await readAdapter(adapter);
  const silent = new Map([...tensors].map(([key, { a, b }]) => [key, { a, b: b.map(() => 0) }]));
  const { weights: base } = await merged(await golden(), memoryFolder("silent", adapterFiles(config, silent)), { dtype: "f32" });
  const { shape } = base.get(`${path}.weight`)!;
  const call = { values: floats(base, `${path}.weight`), shape: shape as [number, number], module: path, adapter, device };
  assert.equal(await mergeTensor(call), floats(weights, `${path}.weight`));
  await expectError(() => mergeTensor({ ...call, shape: [2, 2] }), ShapeError, /mergeTensor: values: expected \[2,2\], got \d+/);
  await expectError(() => mergeTensor({ ...call, module: "model.layers.9.mlp.down_proj" }), FormatError, /module: expected one of model\.layers/);
  await expectError(() => mergeTensor({ ...call, values: new Float32Array(4), shape: [2, 2] }), FormatError, /size of model\.layers\.1\.mlp\.down_proj: expected lora_A \[\d+, 2\]/);
});

/**
 * Where the golden file was written, bitsandbytes had put layer 0's q, k and v into its AVX512-BF16 format when it ran them,
 * and took them out again for the merge: the absmax, rounded to bfloat16 on the way, were double-quantized anew
 * (bitsandbytes 0.50.2, functional.py, _convert_weight_packed_for_cpu_inverse).
 */
async function throughBfloat16(folder: SourceFolder): Promise<SourceFolder> {
  const tensors = await readSafetensors(folder, "model.safetensors");
  const stateKey = `${Q_PROJ}.quant_state.bitsandbytes__nf4`;
  const state = parseQuantState(tensors.get(stateKey)!.data as Uint8Array, "nf4", "test");
  const [bytes, scales, code] = [".absmax", ".nested_absmax", ".nested_quant_map"].map((part) => tensors.get(Q_PROJ + part)!.data as Float32Array);
  const absmax = Float32Array.from(bytes, (byte, i) => bfloat16(Math.fround(Math.fround(code[byte] * scales[i >> 8]) + state.nested!.offset)));
  // A weight of one block for each absmax, quantized, has these absmax and no other: 1 · absmax is the largest of its block.
  const again = quantizeTensor(Float32Array.from({ length: absmax.length * 64 }, (_, i) => absmax[i >> 6]), { blocksize: 64 });
  assert.ok("nested" in again && again.nested);
  const set = (key: string, data: HostTensor["data"]): void => void tensors.set(key, { ...tensors.get(key)!, shape: [data.length], data });
  set(`${Q_PROJ}.absmax`, again.absmax);
  set(`${Q_PROJ}.nested_absmax`, again.nested.absmax);
  set(stateKey, encodeQuantState({ ...state, nested: { blocksize: 256, offset: again.nested.offset } }));
  return memoryFolder("rounded", [["config.json", await folder.readText("config.json")], ["model.safetensors", encodeSafetensors([...tensors.values()])]]);
}

function bfloat16(value: number): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer);
  bits[0] = (bits[0] + 0x7fff + ((bits[0] >>> 16) & 1)) & 0xffff0000;
  return new Float32Array(bits.buffer)[0];
}

test("the one that bitsandbytes had rounded to bfloat16 before PEFT merged it", async () => {
  const peft = readGolden("tiny/qlora-nf4dq-merged.safetensors").tensor(Q_PROJ);
  const plain = await merged(await golden(), await goldenAdapter(), { dtype: "f32" });
  const rounded = await merged(await throughBfloat16(await golden()), await goldenAdapter(), { dtype: "f32" });
  assert.ok(Math.abs(farthest(floats(plain.weights, Q_PROJ), peft) - 5.97e-4) < 1e-6);
  assert.ok(farthest(floats(rounded.weights, Q_PROJ), peft) < 1e-6);
});

/** The golden base with the demo's tokenizer, which it was trained with. */
async function withTokenizer(folder: SourceFolder): Promise<SourceFolder> {
  const demo = await openSource("src/demo");
  return {
    ...folder, name: folder.name, list: () => folder.list(),
    has: async (file) => (await folder.has(file)) || file === "tokenizer.json",
    open: (file) => (file === "tokenizer.json" ? demo : folder).open(file),
    readText: (file) => (file === "tokenizer.json" ? demo : folder).readText(file),
  };
}

async function lossOf(model: SourceFolder, adapter?: SourceFolder): Promise<number> {
  const lm = await loadModel({ model, device });
  const text = new TextEncoder().encode("Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or twice she had peeped into the book");
  const { rows } = loadDataset(text, { fileName: "a.txt", tokenizer: lm.tokenizer, maxLength: 32, vocabSize: lm.config.vocabSize });
  const { loss } = await lm.evaluate(rows, { adapters: adapter ? [{ adapter: await lm.loadAdapter(adapter) }] : [] });
  lm.dispose();
  return loss;
}

test("the merged model computes what base and adapter compute, and stays tied", async () => {
  const base = await withTokenizer(await golden());
  const loss = await lossOf(base, await goldenAdapter());
  assert.ok(Math.abs((await lossOf(base)) - loss) > 0.1, "the adapter does something");
  for (const [dtype, bound] of [["f32", 1e-5], ["f16", 1e-3], ["bf16", 5e-3], ["nf4", 0.3]] as const) {
    const { sink, weights, result } = await merged(base, await goldenAdapter(), { dtype });
    assert.ok(Math.abs((await lossOf(sink.source())) - loss) < bound, dtype);
    assert.not(weights.has("lm_head.weight"));
    const config = JSON.parse(await sink.source().readText("config.json")) as Record<string, unknown>;
    assert.is(config["tie_word_embeddings"], true);
    assert.is("quantization_config" in config, dtype === "nf4");
    assert.ok(result.tokenizer && result.merged === 42);
  }
});

test("what rounding adds, as it says", async () => {
  const exact = (await merged(await golden(), await goldenAdapter(), { dtype: "f32" })).weights;
  const { weights, result } = await merged(await golden(), await goldenAdapter());
  let [error2, exact2, max] = [0, 0, 0];
  const worst = { tensor: "", relativeRms: 0 };
  for (const [name, { data, dtype }] of weights) {
    assert.is(dtype, "BF16");
    if (!/_proj/.test(name)) continue;
    const values = new Float32Array(Uint32Array.from(data as Uint16Array, (bits) => bits << 16).buffer);
    const before = floats(exact, name);
    const sums = before.reduce<[number, number]>(([e, x], value, i) => [e + (values[i] - value) ** 2, x + value * value], [0, 0]);
    [error2, exact2, max] = [error2 + sums[0], exact2 + sums[1], Math.max(max, farthest(values, before))];
    if (Math.sqrt(sums[0] / sums[1]) > worst.relativeRms) Object.assign(worst, { tensor: name, relativeRms: Math.sqrt(sums[0] / sums[1]) });
  }
  assert.is(result.rounding.max, max);
  assert.ok(Math.abs(result.rounding.relativeRms / Math.sqrt(error2 / exact2) - 1) < 1e-9);
  assert.is(result.worst!.tensor, worst.tensor);
  assert.ok(Math.abs(result.worst!.relativeRms / worst.relativeRms - 1) < 1e-9);
  assert.ok(result.change.relativeRms > 0.03 && result.change.relativeRms < 0.05);
  assert.equal((await merged(await golden(), await goldenAdapter(), { dtype: "f32" })).result.rounding, { max: 0, relativeRms: 0 });
});

test("NF4 again: the bytes of quantizing the exact merged model, and the error of those", async () => {
  const exact = await merged(await golden(), await goldenAdapter(), { dtype: "f32" });
  const sink = new MemorySink("quantized");
  await quantize({ model: exact.sink.source(), output: sink, device });
  const expected = await readSafetensors(sink.source(), "model.safetensors");
  const { weights, result } = await merged(await golden(), await goldenAdapter(), { dtype: "nf4" });
  let [error2, exact2] = [0, 0];
  for (const [name, tensor] of expected) {
    if (!/_proj/.test(name)) continue;
    assert.equal(weights.get(name)?.data, tensor.data, name);
    if (!name.endsWith("_proj.weight")) continue;
    const values = floats(exact.weights, name);
    const after = dequantizeTensor(quantizeTensor(values));
    for (let i = 0; i < values.length; i++) [error2, exact2] = [error2 + (after[i] - values[i]) ** 2, exact2 + values[i] ** 2];
  }
  assert.ok(Math.abs(result.rounding.relativeRms / Math.sqrt(error2 / exact2) - 1) < 1e-9);
  assert.match(result.notes.join(), /Rounding to nf4 is not small beside what the adapter changed, and may undo a part of it; bf16 and f32 keep more/);
});

interface Synthetic { readonly config: Record<string, unknown>; readonly matrices: Map<string, AdapterMatrices> }

/** Values of which no two rows or columns are alike. */
const values = (n: number, seed: number): Float32Array => Float32Array.from({ length: n }, (_, i) => Math.fround(Math.sin(seed + i * 1.7)));

function adapterOf({ config, matrices }: Synthetic): SourceFolder {
  return memoryFolder("adapter", adapterFiles(parseAdapterConfig({ peft_type: "LORA", ...config }, "test"), matrices));
}

function matricesFor(sizes: Record<string, readonly [out: number, width: number, r: number]>): Map<string, AdapterMatrices> {
  return new Map(Object.entries(sizes).map(([path, [out, width, r]], i) => [path, { a: values(r * width, i), b: values(out * r, 10 + i) }]));
}

/** W + scaling · B · A in f64. */
function expectedMerge(w: ArrayLike<number>, { a, b }: AdapterMatrices, r: number, scaling: number): Float32Array {
  const width = a.length / r;
  return Float32Array.from(w, (value, i) => {
    const [row, column] = [Math.floor(i / width), i % width];
    let sum = 0;
    for (let k = 0; k < r; k++) sum += b[row * r + k] * a[k * width + column];
    return value + scaling * sum;
  });
}

test("every module with its own rank and scaling, also with rsLoRA", async () => {
  const paths = { "model.layers.0.self_attn.q_proj": [8, 8, 2], "model.layers.0.mlp.down_proj": [8, 6, 3], "model.layers.0.mlp.up_proj": [6, 8, 2] } as const;
  const matrices = matricesFor(paths);
  for (const use_rslora of [false, true]) {
    const config = { r: 2, lora_alpha: 3, use_rslora, target_modules: ["q_proj", "down_proj", "up_proj"], rank_pattern: { down_proj: 3 }, alpha_pattern: { "mlp.up_proj": 7 } };
    const base = memoryFolder("base", tinyFiles());
    const before = await readSafetensors(base, "model.safetensors");
    const { weights, result } = await merged(base, adapterOf({ config, matrices }), { dtype: "f32" });
    assert.is(result.merged, 3);
    for (const [name, { data }] of before) {
      const module = name.slice(0, -".weight".length);
      const [, , r] = paths[module as keyof typeof paths] ?? [];
      if (r === undefined) assert.equal(weights.get(name)!.data, data, name);
      else {
        const alpha = module.endsWith("up_proj") ? 7 : 3;
        const expected = expectedMerge(data as Float32Array, matrices.get(module)!, r, use_rslora ? alpha / Math.sqrt(r) : alpha / r);
        assert.ok(farthest(floats(weights, name), expected) < 1e-5, name);
      }
    }
  }
});

test("matrices of several chunks, whose rows go across them", async () => {
  const config = { ...TINY_CONFIG, hidden_size: 12, intermediate_size: 100_000, num_attention_heads: 2, num_key_value_heads: 2 };
  const shapes: Record<string, number[]> = { "model.embed_tokens.weight": [5, 12], "model.norm.weight": [12] };
  for (const norm of ["input_layernorm", "post_attention_layernorm"]) shapes[`model.layers.0.${norm}.weight`] = [12];
  for (const name of ["q", "k", "v", "o"]) shapes[`model.layers.0.self_attn.${name}_proj.weight`] = [12, 12];
  for (const name of ["gate", "up"]) shapes[`model.layers.0.mlp.${name}_proj.weight`] = [100_000, 12];
  shapes["model.layers.0.mlp.down_proj.weight"] = [12, 100_000];
  const tensors = new Map(Object.entries(shapes).map(([name, shape], i): [string, HostTensor] => [name, { name, dtype: "F32", shape, data: values(shape.reduce((a, b) => a * b), i) }]));
  const base = memoryFolder("wide", tinyFiles(tensors, config));
  const matrices = matricesFor({ "model.layers.0.mlp.gate_proj": [100_000, 12, 2], "model.layers.0.mlp.down_proj": [12, 100_000, 2] });
  const adapter = adapterOf({ config: { r: 2, lora_alpha: 2, target_modules: ["gate_proj", "down_proj"] }, matrices });
  const { weights } = await merged(base, adapter, { dtype: "f32" });
  for (const [path, pair] of matrices) assert.ok(farthest(floats(weights, `${path}.weight`), expectedMerge(floats(tensors, `${path}.weight`), pair, 2, 1)) < 1e-5, path);
});

const onQ = (): Synthetic => ({ config: { r: 2, lora_alpha: 2, target_modules: ["q_proj"] }, matrices: matricesFor({ "model.layers.0.self_attn.q_proj": [8, 8, 2] }) });

async function quantizedTiny(options: object = {}): Promise<SourceFolder> {
  const sink = new MemorySink("base");
  await quantize({ model: memoryFolder("tiny", tinyFiles()), output: sink, device, ...options });
  return sink.source();
}

test("4-bit weights that the adapter leaves alone are copied, byte for byte", async () => {
  const base = await quantizedTiny({ blocksize: 32 });
  const { weights } = await merged(base, adapterOf(onQ()), { dtype: "nf4" });
  const before = await readSafetensors(base, "model.safetensors");
  assert.equal([...weights.keys()].sort(), [...before.keys()].sort());
  for (const [name, { data }] of before) {
    if (!name.includes("q_proj")) assert.equal(weights.get(name)!.data, data, name);
  }
  assert.not.equal(weights.get(Q_PROJ)!.data, before.get(Q_PROJ)!.data);
});

test("linears that the base keeps out of its 4 bits stay out of them", async () => {
  const base = await quantizedTiny({ skipModules: ["q_proj"] });
  const { weights, sink } = await merged(base, adapterOf(onQ()), { dtype: "nf4" });
  assert.is(weights.get(Q_PROJ)!.dtype, "F32");
  assert.is(weights.get("model.layers.0.self_attn.k_proj.weight")!.dtype, "U8");
  const { quantization_config } = JSON.parse(await sink.source().readText("config.json")) as { quantization_config: { llm_int8_skip_modules: string[] } };
  assert.equal(quantization_config.llm_int8_skip_modules, ["q_proj", "lm_head"]);
});

test("a dense base as an adapter was trained over it: quantized first", async () => {
  const dense = memoryFolder("tiny", tinyFiles());
  for (const dtype of ["f32", "nf4"] as const) {
    const stored = await merged(await quantizedTiny(), adapterOf(onQ()), { dtype });
    const loaded = await merged(dense, adapterOf(onQ()), { dtype, quantize: "nf4" });
    for (const [name, { data }] of stored.weights) assert.equal(loaded.weights.get(name)!.data, data, `${dtype} ${name}`);
    assert.not.equal((await merged(dense, adapterOf(onQ()), { dtype })).weights.get(Q_PROJ)!.data, stored.weights.get(Q_PROJ)!.data);
  }
});

const adapterWith = (change: Partial<Synthetic>): SourceFolder => adapterOf({ ...onQ(), ...change });

async function refused(adapter: SourceFolder, options: MergeOptions, kind: typeof FormatError | typeof ShapeError, pattern: RegExp, base = memoryFolder("tiny", tinyFiles())): Promise<void> {
  const sink = new MemorySink("out");
  await expectError(() => merge({ model: base, adapter, output: sink, device, ...options }), kind, pattern);
  assert.is(sink.files.size, 0);
  await sink.commit();
  assert.is(sink.files.size, 0, "nothing is left half-written");
}

test("an adapter that changes nothing is named", async () => {
  const matrices = onQ().matrices;
  matrices.get("model.layers.0.self_attn.q_proj")!.b.fill(0);
  const { result } = await merged(memoryFolder("tiny", tinyFiles()), adapterWith({ matrices }));
  assert.is(result.change.max, 0);
  assert.match(result.notes.join(), /The adapter changes nothing: its B matrices are 0/);
});

test("an adapter for another model is refused", async () => {
  await refused(await goldenAdapter(), {}, FormatError, /has adapter weights, but the model has no such linear/);
  await refused(adapterWith({ matrices: matricesFor({ "model.layers.0.self_attn.q_proj": [8, 12, 2] }) }), {}, FormatError, /adapter: size of model\.layers\.0\.self_attn\.q_proj\.lora_A: expected \[2,8\], 16 values, got 24/);
  await refused(adapterWith({ matrices: matricesFor({ "model.layers.1.self_attn.q_proj": [8, 8, 2] }) }), {}, FormatError, /model\.layers\.1\.self_attn\.q_proj has adapter weights, but the model/);
});

test("kinds of adapters that are not implemented are refused by name", async () => {
  await refused(await openSource(`${GOLDEN}/f32-r8-a16-dora-init`), {}, FormatError, /use_dora is not implemented/);
});

test("weights and matrices that are not finite, and values outside the output's range", async () => {
  const matrices = onQ().matrices;
  matrices.get("model.layers.0.self_attn.q_proj")!.b[3] = NaN;
  await refused(adapterWith({ matrices }), {}, FormatError, /adapter: model\.layers\.0\.self_attn\.q_proj\.lora_B: element 3: expected a finite value, got NaN/);
  const large = onQ().matrices;
  large.get("model.layers.0.self_attn.q_proj")!.b.fill(1e6);
  await refused(adapterWith({ matrices: large }), { dtype: "f16" }, ShapeError, /q_proj\.weight: element \d+ in float16: expected a value within its range, got .*\n {2}hint: choose float32 or bfloat16/);
  const tensors = await readSafetensors(memoryFolder("tiny", tinyFiles()), "model.safetensors");
  (tensors.get("model.norm.weight")!.data as Float32Array)[2] = Infinity;
  const damaged = memoryFolder("damaged", tinyFiles(tensors));
  await refused(adapterWith({}), {}, FormatError, /damaged: model\.norm\.weight: element 2: expected a finite weight, got Infinity/, damaged);
  assert.is((await merged(damaged, adapterWith({}), { dtype: "f32", nan: "keep" })).weights.get("model.norm.weight")!.data[2], Infinity);
});

test("options that are none", async () => {
  await refused(adapterWith({}), { dtype: "float32" as "f32" }, ShapeError, /merge: dtype: expected f32, f16, bf16, nf4, fp4, got float32/);
  await refused(adapterWith({}), { dtype: "nf4", blocksize: 48 }, ShapeError, /merge: blocksize: expected 32, 64/);
});

test("an interrupted merge leaves nothing, and gives all memory back", async () => {
  const before = device.memory.buffers;
  const controller = new AbortController();
  const sink = new MemorySink("out");
  let error: unknown;
  try {
    await merge({ model: await golden(), adapter: await goldenAdapter(), output: sink, device, signal: controller.signal, onProgress: () => controller.abort() });
  } catch (thrown) {
    error = thrown;
  }
  assert.is((error as Error).name, "AbortError");
  await sink.commit();
  assert.is(sink.files.size, 0);
  assert.is(device.memory.buffers, before);
  await merged(await golden(), await goldenAdapter(), { dtype: "nf4" });
  assert.is(device.memory.buffers, before);
});

test.run();
