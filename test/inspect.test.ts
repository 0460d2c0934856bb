import { kernels } from "#kernels";
import { readFileSync } from "node:fs";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { foldLayers, rangesOf } from "../src/cli/fold-layers.ts";
import { errorRows, quantizationLines, rowsOf, tensorTable } from "../src/cli/inspect-tables.ts";
import { inspect, type InspectedTensor, type Inspection } from "../src/commands/inspect.ts";
import type { ResolutionError } from "../src/commands/resolution-errors.ts";
import { FormatError, ShapeError } from "../src/errors.ts";
import { encodeSafetensors, type HostTensor } from "../src/format/safetensors.ts";
import { memoryFolder } from "../src/io/memory.ts";
import { openSource } from "../src/io/node.ts";
import { dequantizeTensor } from "../src/quant/dequantize-tensor.ts";
import { quantizeTensor } from "../src/quant/quantize-tensor.ts";
import * as quantEntry from "../src/quant.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { dequantizeIntegers, quantizeIntegers } from "./ops/integers.ts";
import { roundBf16, roundF16 } from "./ops/half.ts";
import { countingFolder, expectError, tinyFiles } from "./support/formats.ts";
import { readGolden } from "./support/golden.ts";
import { normals } from "./support/numbers.ts";

const test = suite("inspect");
const inspectPath = async (path: string): Promise<Inspection> => inspect({ source: await openSource(path) });
const f32 = (name: string, data: Float32Array, shape = [data.length]): HostTensor => ({ name, dtype: "F32", shape, data });
const file = (...tensors: HostTensor[]) => memoryFolder("file", [["some.safetensors", encodeSafetensors(tensors)]]);
const find = ({ tensors }: Inspection, name: string): InspectedTensor => tensors.find((tensor) => tensor.name === name)!;

test("the small entry tells the same of safetensors, and where GGUF is opened", async () => {
  for (const path of ["test/golden/tiny/model-nf4-dq", "src/demo"]) {
    assert.equal(await quantEntry.inspect({ source: await openSource(path) }), await inspectPath(path));
  }
  const source = await openSource("test/golden/gguf/types.gguf");
  await expectError(() => quantEntry.inspect({ source }), FormatError, /expected a model, an adapter, or a \.safetensors file, got types\.gguf\n {2}hint: `inspect` of `nibblelm` opens GGUF files/);
});

test("bitsandbytes' double quantization, to the byte", async () => {
  const path = "test/golden/tiny/model-nf4-dq";
  const inspection = await inspectPath(path);
  const { entry } = readGolden("tiny/model-nf4-dq/model.safetensors");
  const name = "model.layers.3.self_attn.q_proj.weight"; // 192 · 192 = 36 864: 576 blocks, 2.25 nested blocks
  const state = entry(`${name}.quant_state.bitsandbytes__nf4`).shape[0];
  const tensor = find(inspection, name);
  assert.equal([tensor.storage, tensor.shape, tensor.parameters], ["NF4+DQ", [192, 192], 36864]);
  const { nestedOffset, ...quantization } = tensor.quantization!;
  assert.equal(quantization, {
    type: "nf4", blocksize: 64, doubleQuant: true, dtype: "float32", parameters: 36864,
    codesBytes: 18432, absmaxBytes: 576, nestedAbsmaxBytes: 12, constantBytes: 4 * 16 + 4 * 256 + state,
  });
  assert.ok(nestedOffset! > 0.01 && nestedOffset! < 1);
  assert.is(tensor.bitsPerParam, (8 * (18432 + 576 + 12 + 1088 + state)) / 36864);
  const bytes = readFileSync(`${path}/model.safetensors`);
  assert.is(inspection.bytes, bytes.length - 8 - Number(bytes.readBigUInt64LE(0)), "every byte of the file is some tensor's");
  assert.equal([inspection.files[0].bytes, inspection.parameters, inspection.tensors.length, inspection.kind], [bytes.length, 2755008, 56, "model"]);
  // 42 linears of 2 359 296 weights in all.
  const { codesBytes, absmaxBytes } = inspection.quantization!;
  assert.equal([codesBytes, absmaxBytes], [2359296 / 2, 2359296 / 64]);
  assert.match(inspection.summary!, /^llama, 6 layers, hidden 192, 6 heads of 32 \(2 of keys and values\), MLP 512, vocabulary 2048, tied head, context 512, RoPE base 10000, float32, bitsandbytes nf4 with double quantization$/);
});

test("the formula stands beside what the file holds", async () => {
  const lines = quantizationLines(await inspectPath("test/golden/tiny/model-nf4-dq")).map((line) => line.replace(/ {2,}/g, " | "));
  assert.equal(lines.slice(1, 5), [
    "NF4+DQ of blocksize 64: 42 tensors | bytes | bits/param | by the formula",
    " | codes | 1 179 648 | 4 | 4",
    " | absmax, a byte a block | 36 864 | 0.125 | 8/64 = 0.125",
    " | nested absmax, a float32 a 256 blocks | 624 | 0.0021 | 32/(64·256) = 0.002",
  ]);
  assert.match(lines[6], /in all \| .* \| 4 \+ 8\/64 \+ 32\/\(64·256\) = 4.127$/);
  // 36 864 blocks: 147 456 bytes of float32 against 36 864 + 624.
  assert.match(lines[7], /32\/64 = 0.5 bits: double quantization saves 110 kB, 0.3729 bits a parameter/);
});

test("plain constants take 32/64 bits", async () => {
  const q = quantizeTensor(normals(64 * 64, 1), { doubleQuant: false, shape: [64, 64] });
  const state = new TextEncoder().encode(JSON.stringify({ quant_type: "nf4", blocksize: 64, dtype: "bfloat16", shape: [64, 64] }));
  const parts: HostTensor[] = [
    { name: "w", dtype: "U8", shape: [2048, 1], data: q.packed as Uint8Array }, { name: "w.absmax", dtype: "F32", shape: [64], data: q.absmax as Float32Array },
    { name: "w.quant_map", dtype: "F32", shape: [16], data: (q as { code: Float32Array }).code }, { name: "w.quant_state.bitsandbytes__nf4", dtype: "U8", shape: [state.length], data: state },
  ];
  const inspection = await inspect({ source: file(...parts) });
  const { storage, quantization } = inspection.tensors[0];
  assert.equal([inspection.tensors.length, storage, quantization!.codesBytes, quantization!.absmaxBytes, quantization!.nestedAbsmaxBytes, quantization!.constantBytes], [1, "NF4", 2048, 256, 0, 64 + state.length]);
  assert.match(quantizationLines(inspection).join("\n"), /absmax, a float32 a block +256 +0\.5 +32\/64 = 0\.5\n/);
});

test("every type of a GGUF file, decoded or not", async () => {
  const { format, kind, tensors, summary, bytes } = await inspectPath("test/golden/gguf/types.gguf");
  assert.equal([format, kind, summary], ["GGUF 3", "model", "llama"]);
  const bits = Object.fromEntries(tensors.map(({ storage, bitsPerParam }) => [storage, bitsPerParam]));
  assert.equal([bits["F32"], bits["Q4_0"], bits["Q4_1"], bits["Q8_0"], bits["Q5_1"], bits["Q4_K"], bits["Q6_K"]], [32, 4.5, 5, 8.5, 6, 4.5, 6.5625]);
  assert.is(bytes, tensors.reduce((sum, tensor) => sum + tensor.bytes, 0));
});

test("adapters and checkpoints of training", async () => {
  const path = "test/golden/tiny/qlora-nf4dq-init";
  const adapter = await inspectPath(path);
  assert.equal([adapter.kind, adapter.tensors.length, adapter.parameters], ["adapter", 84, 162816]);
  assert.match(adapter.summary!, /^LoRA, r 8, alpha 16 \(scaling 2\), on down_proj gate_proj k_proj o_proj q_proj up_proj v_proj, base /);
  const files = ["adapter_config.json", "adapter_model.safetensors"].map((name): [string, Uint8Array] => [name, readFileSync(`${path}/${name}`)]);
  const checkpoint = await inspect({ source: memoryFolder("checkpoint-20", [...files, ["trainer_state.json", `{"global_step": 20, "max_steps": 120}`]]) });
  assert.is(checkpoint.kind, "checkpoint");
  assert.match(checkpoint.summary!, /after step 20 of 120$/);
});

test("a file alone, of any dtype, and layers in the order of numbers", async () => {
  const names = ["layers.10.w", "layers.2.w", "layers.0.w"];
  const inspection = await inspect({ source: file(...names.map((name) => f32(name, normals(4, 1))), { name: "ids", dtype: "I64", shape: [3], data: new BigInt64Array(3) }, f32("none", new Float32Array(0))) });
  assert.equal([inspection.kind, inspection.summary, inspection.tensors.map(({ name }) => name)], ["tensors", undefined, ["ids", "layers.0.w", "layers.2.w", "layers.10.w", "none"]]);
  assert.is(find(inspection, "ids").bitsPerParam, 64);
  assert.equal(rowsOf(inspection, false).map(({ name }) => name), ["ids", "layers.0,2,10.w", "none"]);
  assert.is(rowsOf(inspection, true).length, 5);
  const lines = tensorTable(inspection, rowsOf(inspection, false));
  assert.match(lines[3], /^layers\.0,2,10\.w +3 × +F32 +4 +12 +48 +32$/);
  assert.match(lines[4], /^none .* 0 +0 +-$/);
  assert.match(lines.at(-1)!, /^5 tensors +15 +72 +38\.4$/);
});

test("layers fold only where they are equal", async () => {
  assert.is(rangesOf([3, 0, 1, 2, 7, 9, 10]), "0-3,7,9-10");
  const { tensors } = await inspect({ source: file(f32("blk.0.w", normals(4, 1)), f32("blk.1.w", normals(4, 1), [2, 2]), f32("blk.2.w", normals(4, 1))) });
  assert.equal(foldLayers(tensors).map(({ name }) => name), ["blk.0,2.w", "blk.1.w"]);
});

/** The figures by their formulas. */
function measured(x: ArrayLike<number>, y: ArrayLike<number>): Pick<ResolutionError, "relativeRms" | "maxAbs" | "snrDb"> {
  let [errors, values, most] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    errors += (x[i] - y[i]) ** 2;
    values += x[i] ** 2;
    most = Math.max(most, Math.abs(x[i] - y[i]));
  }
  return { relativeRms: Math.sqrt(errors / values), maxAbs: most, snrDb: -10 * Math.log10(errors / values) };
}

function expectErrors(got: ResolutionError | undefined, expected: ReturnType<typeof measured>, tolerance = 1e-12): void {
  for (const key of ["relativeRms", "maxAbs", "snrDb"] as const) assert.ok(Math.abs(got![key] - expected[key]) <= tolerance * Math.abs(expected[key]), `${got!.resolution} ${key}: ${got![key]}, expected ${expected[key]}`);
}

const cpu = await WasmDevice.create({ wasm: kernels });

test("errors are those of bitsandbytes' own dequantized values, and of the plain references", async () => {
  const golden = readGolden("quant.safetensors");
  const x = golden.tensor("big.float32") as Float32Array;
  const [{ errors }] = (await inspect({ source: file(f32("big", x, [96, 256])), error: true, device: cpu })).tensors;
  const at = (name: string): ResolutionError => errors!.resolutions.find(({ resolution }) => resolution === name)!;
  assert.equal([errors!.relativeTo, errors!.nonFinite, errors!.resolutions.map(({ resolution }) => resolution)], ["stored values", 0, ["f32", "bf16", "f16", "int8", "nf4", "nf4+dq", "fp4", "int4"]]);
  assert.ok(Math.abs(errors!.rms - Math.sqrt(x.reduce((sum, v) => sum + v * v, 0) / x.length)) < 1e-12);
  assert.equal(at("f32"), { resolution: "f32", bytes: 4 * 24576, bitsPerParam: 32, relativeRms: 0, maxAbs: 0, snrDb: Infinity });
  expectErrors(at("bf16"), measured(x, x.map(roundBf16)));
  expectErrors(at("f16"), measured(x, x.map(roundF16)));
  expectErrors(at("nf4"), measured(x, golden.tensor("big.float32.nf4.64.plain.dequant")));
  expectErrors(at("fp4"), measured(x, golden.tensor("big.float32.fp4.64.plain.dequant")));
  expectErrors(at("nf4+dq"), measured(x, golden.tensor("big.float32.nf4.64.dq.dequant")), 1e-6); // torch's own mean as offset
  for (const [name, levels] of [["int8", 127], ["int4", 7]] as const) {
    const { q, absmax } = quantizeIntegers(x, x.length, 64, levels);
    expectErrors(at(name), measured(x, dequantizeIntegers(q, absmax, 64, levels)));
  }
  const bits = Object.fromEntries(errors!.resolutions.map(({ resolution, bitsPerParam }) => [resolution, bitsPerParam]));
  // 384 blocks, 2 nested ones: 4 + 8/64 + 2 · 32 / 24576
  assert.equal(bits, { f32: 32, bf16: 16, f16: 16, int8: 8.5, nf4: 4.5, "nf4+dq": 4.125 + 64 / 24576, fp4: 4.5, int4: 4.5 });
});

test("a tensor of more than one chunk, with a tail, is measured as if it were in memory", async () => {
  const x = normals(2 ** 20 + 1000, 3, 0.02);
  x.fill(0, 300, 500);
  const parts: number[] = [];
  const { tensors, errors } = await inspect({ source: file(f32("long", x)), error: true, blocksize: 128, device: cpu, onProgress: ({ done, total }) => parts.push(done / total) });
  const at = (resolution: string) => tensors[0].errors!.resolutions.find((r) => r.resolution === resolution);
  expectErrors(at("nf4+dq"), measured(x, dequantizeTensor(quantizeTensor(x, { blocksize: 128 }))));
  expectErrors(at("nf4"), measured(x, dequantizeTensor(quantizeTensor(x, { blocksize: 128, doubleQuant: false }))));
  expectErrors(at("int4"), measured(x, dequantizeTensor(quantizeTensor(x, { type: "int4", blocksize: 128 }))));
  assert.equal(errors, tensors[0].errors!.resolutions, "one tensor is all there is");
  assert.equal([parts.length, parts.at(-1), parts.toSorted((a, b) => a - b)], [4, 1, parts]);
});

test("what is in 4 bits already is compared with what it dequantizes to", async () => {
  const source = await openSource("test/golden/tiny/model-nf4-dq");
  const inspection = await inspect({ source, error: true, device: cpu });
  const linear = find(inspection, "model.layers.0.mlp.up_proj.weight").errors!;
  const at = (name: string) => linear.resolutions.find(({ resolution }) => resolution === name)!;
  assert.is(linear.relativeTo, "dequantized values");
  // Codes of a block, taken times their absmax, are the same codes again.
  assert.is(at("nf4").relativeRms, 0);
  assert.ok(at("nf4+dq").relativeRms > 0 && at("nf4+dq").relativeRms < 0.01);
  assert.ok(at("int4").relativeRms > 0.05);
  assert.is(find(inspection, "model.norm.weight").errors!.relativeTo, "stored values");
});

test("totals and folded rows weigh errors as the values do", async () => {
  const [a, b] = [normals(640, 5), normals(640, 6, 10)];
  const inspection = await inspect({ source: file(f32("layers.0.w", a), f32("layers.1.w", b)), error: true, device: cpu });
  const both = Float32Array.from([...a, ...b]);
  const expected = measured(both, dequantizeTensor(quantizeTensor(both, { doubleQuant: false })));
  expectErrors(inspection.errors!.find(({ resolution }) => resolution === "nf4"), expected);
  const [head, row] = errorRows(rowsOf(inspection, false)).map((line) => line.split(/ {2,}/));
  assert.equal([row[0], row[head.indexOf("nf4")]], ["layers.0-1.w", `${(100 * expected.relativeRms).toPrecision(3)} %`]);
});

test("NaN is counted, and kept out of the totals", async () => {
  const damaged = normals(100, 7);
  damaged.set([NaN, Infinity], 40);
  const { tensors, errors } = await inspect({ source: file(f32("bad", damaged), f32("good", normals(100, 8))), error: true, device: cpu });
  assert.equal(tensors.map(({ errors: e }) => e!.nonFinite), [2, 0]);
  assert.ok(Number.isNaN(tensors[0].errors!.resolutions[1].relativeRms));
  assert.equal(errors, tensors[1].errors!.resolutions);
});

test("types that are not decoded have sizes and no errors; f16 overflows", async () => {
  const source = file({ name: "ids", dtype: "I64", shape: [3], data: new BigInt64Array(3) }, f32("large", Float32Array.of(70000, 1)));
  const inspection = await inspect({ source, error: true, device: cpu });
  assert.is(find(inspection, "ids").errors, undefined);
  assert.is(find(inspection, "large").errors!.resolutions[2].maxAbs, Infinity);
});

test("what is no model, or a broken one", async () => {
  const fails = (files: Iterable<readonly [string, Uint8Array | string]>, pattern: RegExp): Promise<void> => expectError(() => inspect({ source: memoryFolder("folder", files) }), FormatError, pattern);
  await fails([], /folder: tensors: expected a model, .*, got an empty folder/);
  await fails([["a.txt", ""]], /got a\.txt/);
  await fails([["pytorch_model.bin", ""]], /got pytorch_model\.bin[^]*never opened/);
  await fails([["a.gguf", ""], ["b.gguf", ""]], /\.gguf files: expected one, got a\.gguf, b\.gguf/);
  await fails([["a.safetensors", ""], ["b.safetensors", ""]], /\.safetensors files: expected one/);
  await fails([["a.safetensors", new Uint8Array(7)]], /a\.safetensors: size: expected at least 8 bytes, got 7/);
  await fails([["a.gguf", new Uint8Array(100)]], /a\.gguf: magic/);
  await fails([["config.json", "{"]], /folder\/config\.json: content: expected JSON/);
  await fails([["config.json", "{}"]], /folder: weights: expected model\.safetensors/);
  await fails([["adapter_config.json", "{}"]], /adapter_model\.safetensors: no such file/);
  await fails([["adapter_config.json", "{}"], ["trainer_state.json", "[]"]], /trainer_state\.json: content: expected a JSON object/);
  const [[, config], [name, weights]] = [...tinyFiles()] as [string, Uint8Array][];
  const cut = countingFolder([["config.json", config], [name, weights.slice(0, -1)]]);
  await expectError(() => inspect({ source: cut }), FormatError, /file size: expected/);
  assert.is(cut.live, 0, "files that stayed open");
});

test("a config that makes no sense is no obstacle to looking at the tensors", async () => {
  const files = new Map(tinyFiles()).set("config.json", `{"model_type": "mamba", "num_hidden_layers": [1], "rope_scaling": 3, "quantization_config": "none"}`);
  const { summary, tensors } = await inspect({ source: memoryFolder("odd", files) });
  assert.equal([summary, tensors.length], ["mamba", 11]);
});

test("options are checked, and a signal is heard", async () => {
  const source = file(f32("w", normals(100, 9)));
  await expectError(() => inspect({ source, error: true }), ShapeError, /inspect: device: expected one to measure errors on/);
  await expectError(() => inspect({ source, blocksize: 48 }), ShapeError, /inspect: blocksize/);
  const reason = new Error("stop");
  assert.is(await inspect({ source, signal: AbortSignal.abort(reason) }).catch((error: unknown) => error), reason);
});

test.after(() => cpu.dispose());
test.run();
