// Highest resident memory of `nibblelm quantize`, `merge` and `inspect --error` above that of `nibblelm --version`.
// usage: node test/memory/rss.mjs FOLDER [CASE…]   after `npm run build`
// FOLDER takes made-up models: sparse files of up to 4 GB that need 16 MB, and results of up to 4 GB. It is left empty.
import { execFileSync } from "node:child_process";
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

/** Of quantize as promised; of the others what they need now, so that more is noticed. */
const LIMIT_MIB = { quantize: 64, merge: 128, inspect: 144 };
const CLI = "dist/cli.js";
const [folder, ...chosen] = process.argv.slice(2);
if (!folder) throw new Error("usage: rss.mjs FOLDER [CASE…]");

/** Llamas whose sizes decide where the bytes are. */
const ONE_TENSOR = { dtype: "F32", vocab: 262144, hidden: 1024, inner: 64, layers: 1 };
const MANY_TENSORS = { dtype: "BF16", vocab: 32000, hidden: 4096, inner: 11008, layers: 9 };
const LARGE_TENSORS = { dtype: "F32", vocab: 1024, hidden: 4096, inner: 71680, layers: 1 };
const CASES = [
  ["one tensor of 1 GB (float32 embedding)", ONE_TENSOR, "quantize", "--embeddings", "nf4"],
  ["the same with plain constants", ONE_TENSOR, "quantize", "--embeddings", "nf4", "--no-double-quant"],
  ["4 GB in bfloat16, tensors of 90 MB", MANY_TENSORS, "quantize"],
  ["the same with two threads", MANY_TENSORS, "quantize", "--threads", "2"],
  ["4 GB in float32, tensors of 1.2 GB", LARGE_TENSORS, "quantize"],
  ["the same with two threads", LARGE_TENSORS, "quantize", "--threads", "2"],
  ["merged into 4 GB of bfloat16", MANY_TENSORS, "merge"],
  ["merged and quantized, 4 GB of float32", LARGE_TENSORS, "merge", "--dtype", "nf4"],
  ["one tensor of 1 GB, measured", ONE_TENSOR, "inspect", "--error"],
];

function tensorsOf({ vocab, hidden, inner, layers }) {
  const tensors = { "model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden] };
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}.`;
    for (const name of ["input_layernorm", "post_attention_layernorm"]) tensors[`${layer}${name}.weight`] = [hidden];
    for (const name of ["q_proj", "k_proj", "v_proj", "o_proj"]) tensors[`${layer}self_attn.${name}.weight`] = [hidden, hidden];
    for (const name of ["gate_proj", "up_proj"]) tensors[`${layer}mlp.${name}.weight`] = [inner, hidden];
    tensors[`${layer}mlp.down_proj.weight`] = [hidden, inner];
  }
  return tensors;
}

/** A safetensors file of `end` bytes of data, of which `start` is the beginning. */
function writeSparse(path, header, end, start) {
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(path, "w");
  for (const part of [length, json, start]) writeSync(file, part);
  ftruncateSync(file, 8 + json.length + end);
  closeSync(file);
}

/** A LoRA on every down_proj, all zeros. */
function writeAdapter(path, { hidden, inner, layers }) {
  mkdirSync(path, { recursive: true });
  const r = 8;
  let end = 0;
  const header = {};
  for (let i = 0; i < layers; i++) {
    for (const [matrix, shape] of [["A", [r, inner]], ["B", [hidden, r]]]) {
      const begin = end;
      end += 4 * shape[0] * shape[1];
      header[`base_model.model.model.layers.${i}.mlp.down_proj.lora_${matrix}.weight`] = { dtype: "F32", shape, data_offsets: [begin, end] };
    }
  }
  writeSparse(join(path, "adapter_model.safetensors"), header, end, new Uint8Array(0));
  writeFileSync(join(path, "adapter_config.json"), JSON.stringify({ peft_type: "LORA", r, lora_alpha: r, target_modules: ["down_proj"] }));
}

/** 16 MiB of noise, then a hole that reads as zeros: what is resident does not depend on the values. */
function writeModel(path, model) {
  mkdirSync(path, { recursive: true });
  const width = model.dtype === "F32" ? 4 : 2;
  let end = 0;
  const header = {};
  for (const [name, shape] of Object.entries(tensorsOf(model))) {
    const begin = end;
    end += shape.reduce((a, b) => a * b, width);
    header[name] = { dtype: model.dtype, shape, data_offsets: [begin, end] };
  }
  const floats = Float32Array.from({ length: 2 ** 22 }, () => Math.random() - 0.5);
  const noise = width === 4 ? new Uint8Array(floats.buffer) : new Uint8Array(Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16).buffer);
  writeSparse(join(path, "model.safetensors"), header, end, noise);
  writeFileSync(join(path, "config.json"), JSON.stringify({
    model_type: "llama", vocab_size: model.vocab, hidden_size: model.hidden, intermediate_size: model.inner, num_hidden_layers: model.layers,
    num_attention_heads: 8, tie_word_embeddings: true,
  }));
  return end;
}

const REPORT = `data:text/javascript,process.on("exit",()=>process.stderr.write("RSS "+process.resourceUsage().maxRSS+"\\n"))`;

/** Runs the command line and returns the most KiB it had resident. */
function peakOf(...args) {
  const output = execFileSync("sh", ["-c", `exec "$0" "$@" 2>&1 >/dev/null`, process.execPath, "--import", REPORT, CLI, ...args], { encoding: "utf8" });
  return Number(/RSS (\d+)/.exec(output)[1]);
}

const base = peakOf("--version");
console.log(`nibblelm --version: ${(base / 1024).toFixed(1)} MiB`);

let failed = false;
for (const [name, model, command, ...options] of CASES) {
  if (chosen.length && !chosen.some((part) => name.includes(part))) continue;
  const [source, output, adapter] = ["source", "output", "adapter"].map((name) => join(folder, `rss-${name}`));
  for (const path of [source, output, adapter]) rmSync(path, { recursive: true, force: true });
  const bytes = writeModel(source, model);
  const began = performance.now();
  if (command === "merge") writeAdapter(adapter, model);
  const input = command === "merge" ? ["--model", source, "--adapter", adapter] : [source];
  const peak = peakOf(command, ...input, ...options, ...(command === "inspect" ? [] : ["-o", output]));
  const seconds = (performance.now() - began) / 1000;
  const above = (peak - base) / 1024;
  const limit = LIMIT_MIB[command];
  failed ||= above > limit;
  console.log(`${name} (${(bytes / 1e9).toFixed(2)} GB): ${(peak / 1024).toFixed(1)} MiB, ${above.toFixed(1)} above (at most ${limit}), ${seconds.toFixed(1)} s`);
  for (const path of [source, output, adapter]) rmSync(path, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
