// Highest resident memory of `quantize` and `merge`, above that of starting the program and printing its version.
// usage: node test/memory/rss.mjs FOLDER [CASE…]   (FOLDER takes the models, up to 6 GB, and is left empty again)
import { execFileSync } from "node:child_process";
import { closeSync, existsSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join, resolve } from "node:path";
import esbuild from "esbuild";

const LIMIT_MIB = 64;
const [folder, ...chosen] = process.argv.slice(2);
if (!folder) throw new Error("usage: rss.mjs FOLDER [CASE…]");

/** A llama of one or more layers; sizes decide where the bytes are. */
const CASES = {
  "one tensor of 1 GB (float32 embedding)": { dtype: "F32", vocab: 262144, hidden: 1024, inner: 64, layers: 1, options: { embeddings: "nf4" } },
  "the same with plain constants": { dtype: "F32", vocab: 262144, hidden: 1024, inner: 64, layers: 1, options: { embeddings: "nf4", doubleQuant: false } },
  "4 GB in bfloat16, tensors of 90 MB": { dtype: "BF16", vocab: 32000, hidden: 4096, inner: 11008, layers: 9, options: {} },
  "4 GB in float32, tensors of 1.2 GB": { dtype: "F32", vocab: 1024, hidden: 4096, inner: 71680, layers: 1, options: {} },
  "merge into 4 GB of bfloat16, tensors of 90 MB": { dtype: "BF16", vocab: 32000, hidden: 4096, inner: 11008, layers: 9, merge: {} },
  "merge and quantize 4 GB of float32, tensors of 1.2 GB": { dtype: "F32", vocab: 1024, hidden: 4096, inner: 71680, layers: 1, merge: { dtype: "nf4" } },
};

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

/** Values of a made-up model: one piece of noise again and again. */
function writeModel(path, model) {
  rmSync(path, { recursive: true, force: true });
  mkdirSync(path, { recursive: true });
  const width = model.dtype === "F32" ? 4 : 2;
  let end = 0;
  const header = {};
  for (const [name, shape] of Object.entries(tensorsOf(model))) {
    const begin = end;
    end += shape.reduce((a, b) => a * b, width);
    header[name] = { dtype: model.dtype, shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const file = openSync(join(path, "model.safetensors"), "w");
  writeSync(file, length);
  writeSync(file, json);
  const floats = Float32Array.from({ length: 2 ** 22 }, () => Math.random() - 0.5);
  const noise = width === 4 ? new Uint8Array(floats.buffer) : new Uint8Array(Uint16Array.from(new Uint32Array(floats.buffer), (bits) => bits >>> 16).buffer);
  for (let at = 0; at < end;) at += writeSync(file, noise, 0, Math.min(noise.length, end - at));
  closeSync(file);
  writeFileSync(join(path, "config.json"), JSON.stringify({
    model_type: "llama", vocab_size: model.vocab, hidden_size: model.hidden, intermediate_size: model.inner, num_hidden_layers: model.layers,
    num_attention_heads: 8, tie_word_embeddings: true,
  }));
  return end;
}

const REPORT = `data:text/javascript,process.on("exit",()=>process.stderr.write("RSS "+process.resourceUsage().maxRSS+"\\n"))`;

/** Runs a program and returns the most KiB it had resident. */
function peakOf(...args) {
  const script = `exec "$0" "$@" 2>&1 >/dev/null`;
  const output = execFileSync("sh", ["-c", script, process.execPath, "--import", REPORT, ...args], { encoding: "utf8" });
  return Number(/RSS (\d+)/.exec(output)[1]);
}

const runner = resolve(".tmp/memory/run.mjs");
await esbuild.build({
  stdin: {
    contents: `
      import { kernels } from "#kernels";
      import { merge } from "./src/commands/merge.ts";
      import { quantize } from "./src/commands/quantize.ts";
      import { adapterFiles, parseAdapterConfig } from "./src/format/peft.ts";
      import { memoryFolder } from "./src/io/memory.ts";
      import { createSink, openSource } from "./src/io/node.ts";
      import { WasmDevice } from "./src/wasm/device.ts";
      const [path, output, text] = process.argv.slice(2);
      if (path) {
        const { hidden, inner, layers, options, merge: merging } = JSON.parse(text);
        const call = { model: await openSource(path), output: await createSink(output), device: await WasmDevice.create({ wasm: kernels }) };
        if (!merging) await quantize({ ...call, ...options });
        else {
          const config = parseAdapterConfig({ peft_type: "LORA", r: 8, target_modules: ["down_proj"] }, "test");
          const matrices = new Map(Array.from({ length: layers }, (_, i) => [\`model.layers.\${i}.mlp.down_proj\`, { a: new Float32Array(8 * inner).fill(0.01), b: new Float32Array(hidden * 8).fill(0.01) }]));
          await merge({ ...call, adapter: memoryFolder("adapter", adapterFiles(config, matrices)), ...merging });
        }
      }`,
    resolveDir: ".",
  },
  bundle: true, format: "esm", platform: "node", target: "es2022", packages: "external", external: ["#kernels", "#quant-kernels"], loader: { ".wgsl": "text", ".wasm": "binary" }, outfile: runner,
});
const base = existsSync("dist/cli.js") ? peakOf("dist/cli.js", "--version") : peakOf(runner);
console.log(`${existsSync("dist/cli.js") ? "nibblelm --version" : "the program, doing nothing"}: ${(base / 1024).toFixed(1)} MiB`);

let failed = false;
for (const [name, model] of Object.entries(CASES)) {
  if (chosen.length && !chosen.some((part) => name.includes(part))) continue;
  const [source, output] = [join(folder, "rss-source"), join(folder, "rss-output")];
  const bytes = writeModel(source, model);
  rmSync(output, { recursive: true, force: true });
  const began = performance.now();
  const peak = peakOf(runner, source, output, JSON.stringify(model));
  const seconds = (performance.now() - began) / 1000;
  const above = (peak - base) / 1024;
  failed ||= above > LIMIT_MIB;
  console.log(`${name} (${(bytes / 1e9).toFixed(2)} GB): ${(peak / 1024).toFixed(1)} MiB, ${above.toFixed(1)} above (at most ${LIMIT_MIB}), ${seconds.toFixed(1)} s`);
  for (const path of [source, output]) rmSync(path, { recursive: true, force: true });
}
process.exit(failed ? 1 : 0);
