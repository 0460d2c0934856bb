// The demo's fine-tuning run beside PEFT's: same start, same batches, same steps; prints both losses.
// usage: node bench/compare-alice.mjs PYTHON [--steps 120] [--seed 42]   (PYTHON: of a venv with bench/peers/requirements.txt)
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

const { positionals: [python], values: { steps, seed } } = parseArgs({
  allowPositionals: true, options: { steps: { type: "string", default: "120" }, seed: { type: "string", default: "42" } },
});
if (!python) throw new Error("usage: node bench/compare-alice.mjs PYTHON [--steps 120] [--seed 42]");
const folder = mkdtempSync(join(tmpdir(), "compare-alice-"));
const at = (name) => join(folder, name);
const lastLine = (text) => JSON.parse(text.trim().split("\n").at(-1));

const peer = lastLine(execFileSync(python, ["bench/peers/alice.py", "src/demo", "src/demo/alice.txt", "--threads", "1", "--steps", steps, "--seed", seed,
  "--save-batches", at("batches.safetensors"), "--save-init", at("init"), "--save-eval", at("held.safetensors")], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }));

/** input_ids [steps, batch, length] of a safetensors file as one jsonl row a sequence. */
function rowsOf(file) {
  const bytes = readFileSync(file);
  const size = Number(bytes.readBigUInt64LE(0));
  const { dtype, shape, data_offsets: [begin, end] } = JSON.parse(bytes.toString("utf8", 8, 8 + size)).input_ids;
  const data = bytes.buffer.slice(bytes.byteOffset + 8 + size + begin, bytes.byteOffset + 8 + size + end);
  const ids = dtype === "I64" ? Array.from(new BigInt64Array(data), Number) : Array.from(new Int32Array(data));
  const length = shape.at(-1);
  return Array.from({ length: ids.length / length }, (_, i) => JSON.stringify({ input_ids: ids.slice(i * length, (i + 1) * length) })).join("\n");
}

const nibblelm = (...args) => execFileSync(process.execPath, ["dist/cli.js", ...args, "--json"], { encoding: "utf8", stdio: ["ignore", "pipe", "inherit"], maxBuffer: 2 ** 26 });
writeFileSync(at("batches.jsonl"), rowsOf(at("batches.safetensors")));
writeFileSync(at("held.jsonl"), rowsOf(at("held.safetensors")));
const events = nibblelm("train", "--model", "demo", "--data", at("batches.jsonl"), "--no-shuffle", "--init-adapter", at("init"), "--output-dir", at("adapter"),
  "--per-device-train-batch-size", "8", "--gradient-accumulation-steps", "1", "--learning-rate", "5e-3", "--lr-scheduler-type", "linear", "--warmup-steps", "10",
  "--max-length", "128", "--max-steps", steps).trim().split("\n").map((line) => JSON.parse(line));
const losses = events.filter((e) => e.event === "step").map((e) => e.loss);
const result = events.at(-1);
const tail = nibblelm("eval", "--model", "demo", "--adapter", at("adapter"), "--data", at("held.jsonl"), "--max-length", "128", "--per-device-eval-batch-size", "8");
const ours = lastLine(tail);
const difference = Math.max(...losses.map((loss, i) => Math.abs(loss - peer.losses[i])));
console.log(JSON.stringify({
  steps: losses.length, peer: peer.peer, peer_loss_after: peer.loss_after, loss_after: ours.loss, difference: ours.loss - peer.loss_after, eval_targets: ours.tokens, peer_eval_targets: peer.eval_targets,
  largest_step_difference: difference, peer_tokens_per_second: peer.tokens_per_second, tokens_per_second: result.tokens_per_second,
  peer_peak_rss_bytes: peer.peak_rss_bytes, peak_memory_bytes: result.peak_memory_bytes,
}, undefined, 1));
rmSync(folder, { recursive: true });
