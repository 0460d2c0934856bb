// The whole way on a real model, each result loaded by the peers: quantize → Transformers + bitsandbytes, train → PEFT,
// merge → Transformers; logits and greedy text beside ours. Prints one JSON object; exit code 1 when a bound is missed.
// usage: node test/peers/accept.mjs PYTHON MODEL [--steps 4] [--length 128]   (after npm run build; MODEL: .gguf, folder or demo)
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { engine } from "./engine.mjs";

const { adapterModules, AdapterParameters, BatchPass, kernels, loadLlama, loadModel, openModel, openSource, readAdapter, readSafetensors, WasmDevice } = engine;
const { positionals: [python, model], values: { steps, length } } = parseArgs({
  allowPositionals: true, options: { steps: { type: "string", default: "4" }, length: { type: "string", default: "128" } },
});
if (!model) throw new Error("usage: node test/peers/accept.mjs PYTHON MODEL [--steps 4] [--length 128]");

/** PEFT's own bound in the golden notes. */
const LOGITS = 1e-3;
const PROMPT = "Once upon a time";
const NEW_TOKENS = 24;
const LAST = 8;

const folder = mkdtempSync(join(tmpdir(), "accept-"));
const at = (name) => join(folder, name);
const device = await WasmDevice.create({ wasm: kernels });
const report = { model: model.split("/").at(-1) };
const misses = [];

function nibblelm(...args) {
  const out = execFileSync(process.execPath, ["dist/cli.js", ...args, "--json"], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 26 });
  return JSON.parse(out.trim().split("\n").at(-1));
}

function peer(script, ...args) {
  const { stdout, stderr, status } = spawnSync(python, [`test/peers/${script}`, ...args], { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (!stdout.trim()) throw new Error(`${script} ${args.join(" ")}\n${stderr}`);
  if (status !== 0) misses.push(`${script}: exit code ${status}`);
  return JSON.parse(stdout.trim().split("\n").at(-1));
}

/** Logits of the last positions, f32[LAST · vocab]. */
async function ourLogits(path, adapterPath, ids) {
  const checkpoint = await openModel(await openSource(path));
  const llama = await loadLlama(device, checkpoint);
  await checkpoint.close();
  let rank = 1;
  let parameters;
  if (adapterPath) {
    const { config, tensors } = await readAdapter(await openSource(adapterPath));
    const modules = adapterModules(llama, config);
    parameters = new AdapterParameters(device, modules, false);
    parameters.write(parameters.param, tensors);
    for (const slot of parameters.slots) llama.linears().get(slot.module.path).loras = [parameters.lora(slot)];
    rank = Math.max(...modules.map(({ r }) => r));
  }
  const pass = new BatchPass(llama, { batch: 1, length: ids.length, microBatches: 1, rank, training: false, recompute: true, dropout: false });
  await pass.evaluate({ batch: 1, length: ids.length, ids: Int32Array.from(ids), targets: new Int32Array(ids.length).fill(-100) });
  const logits = await pass.logits(ids.length - LAST, LAST);
  pass.dispose();
  parameters?.dispose();
  llama.dispose();
  return logits;
}

async function ourGreedy(path) {
  const lm = await loadModel({ model: await openSource(path), device });
  const pieces = lm.generate({ prompt: PROMPT, maxNewTokens: NEW_TOKENS, temperature: 0 });
  for (let text = ""; ; ) {
    const { done, value } = await pieces.next();
    if (done) {
      const { ids } = value;
      lm.dispose();
      return { ids, text };
    }
    text += value;
  }
}

function distance(a, b) {
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs(a[i] - b[i]));
  return most;
}

/** Holds a peer's logits of the same tokens against ours. */
async function compare(name, path, adapterPath, logitsFile) {
  const tensors = await readSafetensors(await openSource(folder), logitsFile);
  const ids = Array.from(tensors.get("input_ids").data);
  const ours = await ourLogits(path, adapterPath, ids);
  const difference = distance(ours, tensors.get("logits").data);
  if (!(difference <= LOGITS)) misses.push(`${name}: logits differ by ${difference}`);
  return { ours, difference };
}

async function compareModel(name, path, ids) {
  const { problems, generated_ids, linear4bit, generated } = peer("load_model.py", path, "--prompt", PROMPT, "--new-tokens", String(NEW_TOKENS), "--ids", ids, "--last", String(LAST), "--out", at(`${name}.safetensors`));
  const { ours, difference } = await compare(name, path, undefined, `${name}.safetensors`);
  const greedy = await ourGreedy(path);
  // Ours leaves out the token that ends the text.
  const same = greedy.ids.every((id, i) => id === generated_ids[i]) && generated_ids.length - greedy.ids.length <= 1;
  if (!same) misses.push(`${name}: another greedy text: ${JSON.stringify(greedy.text)}, the peer's ${JSON.stringify(generated)}`);
  report[name] = { linear4bit, problems, logits_differ_by: difference, same_greedy_text: same, text: greedy.text };
  return ours;
}

const lm = await loadModel({ model: await openSource(model === "demo" ? "src/demo" : model), device });
const text = readFileSync("src/demo/alice.txt", "utf8").slice(-4000);
const ids = JSON.stringify(lm.tokenizer.encode(text, { special: false }).slice(0, 64));
lm.dispose();

const { bits_per_param } = nibblelm("quantize", model, "-o", at("base"));
await compareModel("base", at("base"), ids);
const { loss } = nibblelm("train", "--model", at("base"), "--data", "demo", "-o", at("adapter"), "--max-steps", steps, "--max-length", length,
  "--gradient-accumulation-steps", "2", "--learning-rate", "2e-3", "--lr-scheduler-type", "constant");
const { keys_that_differ, complaints, lora_modules } = peer("load_adapter.py", at("base"), at("adapter"), "--ids", ids, "--last", String(LAST), "--out", at("adapter.safetensors"));
const adapted = await compare("adapter", at("base"), at("adapter"), "adapter.safetensors");
Object.assign(report, { bits_per_param, adapter: { steps: Number(steps), loss, lora_modules, keys_that_differ, complaints, logits_differ_by: adapted.difference } });
for (const dtype of ["f32", "bf16", "nf4"]) {
  const { change, rounding, worst } = nibblelm("merge", "--model", at("base"), "--adapter", at("adapter"), "-o", at(dtype), "--dtype", dtype);
  const logits = await compareModel(`merged_${dtype}`, at(dtype), ids);
  Object.assign(report[`merged_${dtype}`], { change, rounding, worst, from_base_and_adapter: distance(logits, adapted.ours) });
}
if (report.merged_f32.from_base_and_adapter > LOGITS) misses.push("merged_f32: not what base and adapter compute");
console.log(JSON.stringify({ ...report, misses }, undefined, 1));
rmSync(folder, { recursive: true });
process.exit(misses.length ? 1 : 0);
