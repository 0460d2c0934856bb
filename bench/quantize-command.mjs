// The whole command `quantize` beside its kernel alone, page cache warm.
// usage: node bench/quantize-command.mjs FOLDER [--threads 1,2] [--runs 3] [--models name,name]   after `npm run build`
// FOLDER keeps made-up models of 4 GB, in bfloat16 and in float32, and takes results; a model folder in it is measured too.
import { execFileSync, spawnSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, readdirSync, readFileSync, readSync, rmSync, statSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";

const { values: given, positionals: [folder] } = parseArgs({
  allowPositionals: true,
  options: { threads: { type: "string", default: "1,2" }, runs: { type: "string", default: "3" }, models: { type: "string" } },
});
if (!folder) throw new Error("usage: quantize-command.mjs FOLDER");
const threads = given.threads.split(",").map(Number);
const runs = Number(given.runs);

const MADE_UP = { "4gb-bf16": { dtype: "BF16", layers: 9 }, "4gb-f32": { dtype: "F32", layers: 4 } };
const [VOCAB, HIDDEN, INNER] = [32000, 4096, 11008];

/** A llama of normal noise with a standard deviation of 0.02. */
function writeModel(path, { dtype, layers }) {
  mkdirSync(path, { recursive: true });
  const shapes = { "model.embed_tokens.weight": [VOCAB, HIDDEN], "model.norm.weight": [HIDDEN] };
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}.`;
    for (const name of ["input_layernorm", "post_attention_layernorm"]) shapes[`${layer}${name}.weight`] = [HIDDEN];
    for (const name of ["q_proj", "k_proj", "v_proj", "o_proj"]) shapes[`${layer}self_attn.${name}.weight`] = [HIDDEN, HIDDEN];
    for (const name of ["gate_proj", "up_proj"]) shapes[`${layer}mlp.${name}.weight`] = [INNER, HIDDEN];
    shapes[`${layer}mlp.down_proj.weight`] = [HIDDEN, INNER];
  }
  let end = 0;
  const header = {};
  for (const [name, shape] of Object.entries(shapes)) {
    const begin = end;
    end += shape.reduce((a, b) => a * b, dtype === "F32" ? 4 : 2);
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const floats = noise(2 ** 23);
  const bytes = dtype === "F32" ? new Uint8Array(floats.buffer) : new Uint8Array(Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16).buffer);
  const file = openSync(join(path, "model.safetensors"), "w");
  writeSync(file, length);
  writeSync(file, json);
  for (let at = 0; at < end;) at += writeSync(file, bytes, 0, Math.min(bytes.length, end - at));
  closeSync(file);
  writeFileSync(join(path, "config.json"), JSON.stringify({ model_type: "llama", vocab_size: VOCAB, hidden_size: HIDDEN, intermediate_size: INNER, num_hidden_layers: layers, num_attention_heads: 32, tie_word_embeddings: true }));
}

function noise(n) {
  return Float32Array.from({ length: n }, () => 0.02 * Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random()));
}

/** Reads all of it, so that the measured runs find it in memory. */
function warm(path) {
  const buffer = Buffer.alloc(2 ** 22);
  for (const name of readdirSync(path).filter((file) => statSync(join(path, file)).isFile())) {
    const file = openSync(join(path, name));
    while (readSync(file, buffer)) continue;
    closeSync(file);
  }
}

/** Elements/s of the kernel, in chunks of the size that the command uses, over `count` threads. */
async function kernelSpeed(dtype, count) {
  const n = 2 ** 20;
  const memory = new WebAssembly.Memory({ initial: 256, maximum: 65536, shared: true });
  const at = 2 ** 20; // past the kernels' own data
  const tables = { thresholds: at, codes: at + 64, packed: at + 2 ** 16, absmax: at + 2 ** 20, x: at + 2 ** 21 };
  const levels = [-1, -0.6961928, -0.52507305, -0.39491749, -0.28444138, -0.18477343, -0.09105004, 0, 0.0795803, 0.1609302, 0.24611231, 0.33791524, 0.44070983, 0.562617, 0.72295684, 1];
  new Float32Array(memory.buffer, tables.thresholds, 15).set(levels.slice(1).map((level, i) => (level + levels[i]) / 2));
  new Uint8Array(memory.buffer, tables.codes, 16).set(levels.map((_, i) => i));
  const x = noise(n);
  if (dtype === "F32") new Float32Array(memory.buffer, tables.x, n).set(x);
  else new Uint16Array(memory.buffer, tables.x, n).set(Uint16Array.from(new Uint32Array(x.buffer), (bits) => bits >>> 16));
  const module = new WebAssembly.Module(readFileSync("dist/wasm/simd-shared.wasm"));
  const script = `
    const { parentPort, workerData: { module, memory, tables, n, type, begin, end, scratch } } = require("node:worker_threads");
    const { quantize4bit } = new WebAssembly.Instance(module, { env: { memory } }).exports;
    const { x, thresholds, codes, packed, absmax } = tables;
    parentPort.on("message", (rounds) => {
      for (let i = 0; i < rounds; i++) quantize4bit(x, thresholds, codes, packed, absmax, n, 64, type, begin, end, scratch);
      parentPort.postMessage(0);
    });`;
  const tiles = n / 65536;
  const workers = Array.from({ length: count }, (_, i) => new Worker(script, {
    eval: true, workerData: { module, memory, tables, n, type: dtype === "F32" ? 0 : 2, begin: (i * tiles) / count, end: ((i + 1) * tiles) / count, scratch: at + 2 ** 20 + 2 ** 17 + i * 65536 },
  }));
  const all = (rounds) => Promise.all(workers.map((worker) => new Promise((resolve) => { worker.once("message", resolve); worker.postMessage(rounds); })));
  await all(300);
  const began = performance.now();
  await all(1000);
  const seconds = (performance.now() - began) / 1000;
  for (const worker of workers) void worker.terminate();
  return (1000 * n) / seconds;
}

function commandSeconds(model, count) {
  const output = join(folder, "output");
  rmSync(output, { recursive: true, force: true });
  const run = spawnSync("bash", ["-c", `TIMEFORMAT="%R %U %S"; time "$0" "$@"`, process.execPath, "dist/cli.js", "quantize", model, "-o", output, "--threads", String(count), "--json"], { encoding: "utf8" });
  if (run.status !== 0) throw new Error(run.stderr);
  const [wall, user, system] = run.stderr.trim().split("\n").at(-1).split(" ").map(Number);
  rmSync(output, { recursive: true, force: true });
  return { wall, processor: user + system, ...JSON.parse(run.stdout.trim().split("\n").at(-1)) };
}

for (const [name, model] of Object.entries(MADE_UP)) {
  if ((!given.models || given.models.includes(name)) && !existsSync(join(folder, name))) writeModel(join(folder, name), model);
}
execFileSync("sync");
const names = readdirSync(folder).filter((name) => existsSync(join(folder, name, "config.json")) && (!given.models || given.models.split(",").includes(name)));
for (const name of names) {
  const path = join(folder, name);
  const { parameters, tensors } = JSON.parse(execFileSync(process.execPath, ["dist/cli.js", "inspect", path, "--json"], { encoding: "utf8", maxBuffer: 2 ** 28 }).trim().split("\n").at(-1));
  const dtype = name.includes("bf16") ? "BF16" : "F32";
  warm(path);
  for (const count of threads) {
    const kernel = await kernelSpeed(dtype, count);
    const results = Array.from({ length: runs }, () => commandSeconds(path, count)).sort((a, b) => a.wall - b.wall);
    const { wall, processor, peak_memory_bytes } = results[runs >> 1];
    console.log(`${name}, ${tensors} tensors, ${(parameters / 1e6).toFixed(0)} M parameters, ${count} thread${count > 1 ? "s" : ""}: ${wall.toFixed(2)} s (${results[0].wall.toFixed(2)} to ${results.at(-1).wall.toFixed(2)}), processor ${processor.toFixed(2)} s, ${(parameters / wall / 1e6).toFixed(0)} M elements/s; kernel alone ${(kernel / 1e6).toFixed(0)} M elements/s; peak memory ${(peak_memory_bytes / 2 ** 20).toFixed(0)} MiB`);
  }
}
