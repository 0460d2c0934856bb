// A model larger than its budget trains from the file tier. The process's highest resident memory, all of Node included,
// must stay within the budget.
// usage: node test/memory/paging-rss.mjs FOLDER [LAYERS] [BUDGET_MB]   (after npm run build; the default writes 4.6 GB into FOLDER and removes it)
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";

const [folder, layers = "40", budget = "1100"] = process.argv.slice(2);
if (!folder) throw new Error("usage: paging-rss.mjs FOLDER [LAYERS] [BUDGET_MB]");

const MODEL = { vocab: 1024, hidden: 4096, inner: 11008, layers: Number(layers), heads: 32 };
const NF4 = [-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1];

/** bitsandbytes' keys of a random NF4 matrix without double quantization; all matrices share one piece of noise. */
function* tensorsOf({ vocab, hidden, inner, layers }) {
  yield ["model.embed_tokens.weight", "F32", [vocab, hidden], vocab * hidden * 4, "small"];
  for (let i = 0; i < layers; i++) {
    const layer = `model.layers.${i}.`;
    for (const name of ["input_layernorm", "post_attention_layernorm"]) yield [`${layer}${name}.weight`, "F32", [hidden], hidden * 4, "one"];
    const linears = { "self_attn.q_proj": [hidden, hidden], "self_attn.k_proj": [hidden, hidden], "self_attn.v_proj": [hidden, hidden], "self_attn.o_proj": [hidden, hidden], "mlp.gate_proj": [inner, hidden], "mlp.up_proj": [inner, hidden], "mlp.down_proj": [hidden, inner] };
    for (const [path, shape] of Object.entries(linears)) {
      const n = shape[0] * shape[1];
      const name = `${layer}${path}.weight`;
      const state = Buffer.from(JSON.stringify({ quant_type: "nf4", blocksize: 64, dtype: "float32", shape }));
      yield [name, "U8", [n / 2, 1], n / 2, "noise"];
      yield [`${name}.absmax`, "F32", [n / 64], n / 16, "scale"];
      yield [`${name}.quant_map`, "F32", [16], 64, Buffer.from(Float32Array.from(NF4).buffer)];
      yield [`${name}.quant_state.bitsandbytes__nf4`, "U8", [state.length], state.length, state];
    }
  }
  yield ["model.norm.weight", "F32", [hidden], hidden * 4, "one"];
}

function writeModel(path) {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  const header = {};
  let end = 0;
  for (const [name, dtype, shape, bytes] of tensorsOf(MODEL)) header[name] = { dtype, shape, data_offsets: [end, end += bytes] };
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(path, "model.safetensors"), "w");
  writeSync(file, length);
  writeSync(file, json);
  const piece = 2 ** 22;
  const floats = (make) => Buffer.from(Float32Array.from({ length: piece / 4 }, make).buffer);
  const fills = { noise: Buffer.from(Uint8Array.from({ length: piece }, () => Math.random() * 256)), small: floats(() => Math.random() - 0.5), one: floats(() => 1), scale: floats(() => 0.03 + 0.02 * Math.random()) };
  for (const [, , , bytes, fill] of tensorsOf(MODEL)) {
    const from = fills[fill] ?? fill;
    for (let at = 0; at < bytes; at += piece) writeSync(file, from, 0, Math.min(from.length, bytes - at));
  }
  closeSync(file);
  writeFileSync(join(path, "config.json"), JSON.stringify({
    model_type: "llama", vocab_size: MODEL.vocab, hidden_size: MODEL.hidden, intermediate_size: MODEL.inner, num_hidden_layers: MODEL.layers, num_attention_heads: MODEL.heads,
    max_position_embeddings: 512, tie_word_embeddings: true,
    quantization_config: { quant_method: "bitsandbytes", load_in_4bit: true, bnb_4bit_quant_type: "nf4", bnb_4bit_use_double_quant: false, bnb_4bit_compute_dtype: "float32" },
  }));
  writeFileSync(join(path, "tokenizer.json"), JSON.stringify({ version: "1.0", model: { type: "BPE", vocab: Object.fromEntries(Array.from({ length: MODEL.vocab }, (_, i) => [`t${i}`, i])), merges: [] } }));
  writeFileSync(join(path, "tokenizer_config.json"), JSON.stringify({ tokenizer_class: "PreTrainedTokenizerFast" }));
  return end;
}

const REPORT = `data:text/javascript,process.on("exit",()=>process.stderr.write("RSS "+process.resourceUsage().maxRSS+"\\n"))`;

/** Runs the command line; what it printed, and the most KiB it had resident. */
function run(...args) {
  const output = execFileSync("sh", ["-c", `exec "$0" "$@" 2>&1`, process.execPath, "--import", REPORT, "dist/cli.js", ...args], { encoding: "utf8", maxBuffer: 2 ** 26 });
  return { output, mb: (Number(/RSS (\d+)/.exec(output)[1]) * 1024) / 1e6 };
}

const [model, data, out] = ["paged-model", "paged-data.jsonl", "paged-adapter"].map((name) => join(folder, name));
const bytes = writeModel(model);
writeFileSync(data, `${JSON.stringify({ input_ids: [5, 17, 900, 3, 44, 512, 77, 8] })}\n`);
rmSync(out, { recursive: true, force: true });
const began = performance.now();
const { output, mb } = run("train", "--model", model, "--data", data, "-o", out, "--device", "wasm", "--host-memory", `${budget}MB`, "--max-length", "8", "--max-steps", "1", "--gradient-accumulation-steps", "1", "--save-steps", "1", "--r", "4", "--json");
const result = JSON.parse(output.split("\n").find((line) => line.startsWith('{"event":"result"')));
console.log(`${(bytes / 1e9).toFixed(2)} GB packed, budget ${budget} MB, one step of 8 tokens in ${((performance.now() - began) / 1000).toFixed(0)} s: loss ${result.loss}, peak ${mb.toFixed(0)} MB`);
console.log(JSON.stringify(result.paging));
for (const path of [model, data, out]) rmSync(path, { recursive: true, force: true });
process.exit(Number.isFinite(result.loss) && result.paging.resident < result.paging.pages && mb <= Number(budget) ? 0 : 1);
