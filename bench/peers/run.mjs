#!/usr/bin/env node
// The same work in NibbleLM and in other libraries, in one run: every contender is a process of its own, and they take
// turns round by round, so that a machine that slows down slows all of them. Ratios are taken within each round.
//
// usage: node bench/peers/run.mjs [quantize] [dequantize] [matmul] [train] [generate] [options]   (default: the first three)
//   --python PYTHON   of an environment with bench/peers/requirements.txt: bitsandbytes and PEFT
//   --model FILE      a GGUF of SmolLM2-135M, for train and generate
//   --threads N       for train and generate (default 1); the others compare one thread
//   --build simd|relaxed   kernels for train and generate (default relaxed); quantize takes simd, matmul both
//   --rounds N        default 15; train takes 3
//   --size SIZE       in place of the suite's own
//   --clock wall|cpu  cpu: by processor time, for one thread on a machine that others use too (default wall)
//   --json FILE       every round, and the machine
// First: npm run build, and npm install --ignore-scripts in bench/peers (JavaScript peers; some 700 MB, most of it node-llama-cpp).
import { spawn, spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { dirname, join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import esbuild from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, "../..");
const { positionals, values: options } = parseArgs({
  allowPositionals: true,
  options: {
    python: { type: "string" }, model: { type: "string" }, threads: { type: "string", default: "1" }, build: { type: "string", default: "relaxed" },
    rounds: { type: "string" }, size: { type: "string" }, clock: { type: "string", default: "wall" }, json: { type: "string" },
  },
});
const threads = Number(options.threads);
const CLOCKS = { wall: "ms", cpu: "cpu_ms" };

// Optimized code from the start: on a busy machine the engine may stay with its quick compiler for a long time.
const NODE = [process.execPath, "--no-liftoff"];

const ours = (build, count, item) => ({ command: [...NODE, "--experimental-wasm-relaxed-simd", join(root, ".tmp/peers/nibblelm.mjs"), build, String(count)], item, threads: count });
const node = (file, item, ...args) => ({ command: [...NODE, join(here, file), ...args], item, threads: Number(args[0] ?? 1) });
const python = (file, item, count = 1) => ({ command: [options.python, join(here, file), String(count)], item, threads: count, missing: options.python ? undefined : "--python" });
const withModel = (contender) => ({ ...contender, missing: options.model ? contender.missing : "--model" });
const model = options.model && resolve(options.model);

/** Comparisons by suite: what is compared, and who takes part, we first. */
const SUITES = {
  quantize: (size) => (size ? [size] : ["1536x576", "4096x4096"]).flatMap((size) => ["quantize-nf4", "quantize-nf4-dq"].map((op) => ({
    title: `${op} ${size}`, contenders: [ours("simd", 1, { suite: "quantize", op, size }), python("quantize.py", { op, size })],
  }))),
  dequantize: (size) => (size ? [size] : ["1536x576", "4096x4096"]).flatMap((size) => [
    { title: `dequantize-nf4 ${size}`, contenders: [ours("simd", 1, { suite: "dequantize", op: "dequantize-nf4", size }), python("quantize.py", { op: "dequantize-nf4-in-place", size }), python("quantize.py", { op: "dequantize-nf4", size })] },
    { title: `dequantize-nf4-dq ${size}`, contenders: [ours("simd", 1, { suite: "dequantize", op: "dequantize-nf4-dq", size }), python("quantize.py", { op: "dequantize-nf4-dq", size })] },
  ]),
  matmul: (size) => (size ? [size] : ["512x1536x576", "1024x1024x1024"]).map((size) => {
    const item = { suite: "matmul", op: "matmul-nt", size };
    return { title: `float32 product ${size}`, contenders: [ours("relaxed", 1, item), ours("simd", 1, item), node("onnxruntime.mjs", { size }), node("tfjs.mjs", { size })] };
  }),
  train: (size = "4x256") => [{
    title: `QLoRA steps ${size}`, rounds: 3, tokens: size.split("x").reduce((product, n) => product * n, 1),
    contenders: [ours(options.build, threads, { suite: "train", op: "train", size, model }), python("train.py", { size, model }, threads)].map(withModel),
  }],
  generate: (size = "32") => [{
    title: `tokens one by one ${size}`, tokens: Number(size), rounds: 7,
    contenders: [ours(options.build, threads, { suite: "generate", op: "generate", size, model }), node("llama-cpp.mjs", { size, model }, String(threads))].map(withModel),
  }],
};

/** One thread stays on one core, which all contenders share in turns. */
function pinned(command, count) {
  if (count !== 1 || spawnSync("taskset", ["-V"]).error) return command;
  return ["taskset", "-c", String(cpus().length - 1), ...command];
}

/** A contender's process and the conversation with it. */
class Peer {
  #process;
  #lines;
  #said = "";
  #prepared = 0;

  constructor({ command, threads: count }) {
    const [file, ...args] = pinned(command, count);
    this.#process = spawn(file, args, { stdio: "pipe", env: { ...process.env, OMP_NUM_THREADS: String(count), MKL_NUM_THREADS: String(count), HF_HUB_OFFLINE: "1" } });
    this.#process.stderr.on("data", (text) => { this.#said = (this.#said + text).slice(-2000); });
    this.#lines = createInterface({ input: this.#process.stdout })[Symbol.asyncIterator]();
  }

  async ask(request) {
    this.#process.stdin.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#lines.next();
    if (done) throw new Error(`a contender ended: ${this.#process.spawnargs.join(" ")}\n${this.#said}`);
    const answer = JSON.parse(value);
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  /** @returns the contender's name, and what times a round of the case. */
  async prepare(item) {
    const id = this.#prepared++;
    const { name } = await this.ask({ do: "prepare", id, case: item });
    return { name: item.op?.endsWith("-in-place") ? `${name}, kernel alone` : name, round: async () => (await this.ask({ do: "round", id }))[CLOCKS[options.clock]] };
  }

  stop() {
    this.#process.stdin.end();
    this.#process.kill();
  }
}

/** @param peers processes of this suite by command: those that take part in several comparisons start once. */
async function compare({ title, contenders, rounds: own, tokens }, peers) {
  const entries = [];
  for (const contender of contenders) {
    const key = contender.command.join(" ");
    if (contender.missing) console.log(`${title}: without ${contender.command.find((word) => /\.(py|mjs)$/.test(word)).split("/").at(-1)}, which needs ${contender.missing}`);
    else {
      if (!peers.has(key)) peers.set(key, new Peer(contender));
      const peer = peers.get(key);
      entries.push({ ...(await peer.prepare(contender.item)), peer, times: [] });
    }
  }
  for (let round = 0; round < Number(options.rounds ?? own ?? 15); round++) {
    for (const entry of entries) entry.times.push(await entry.round());
  }
  const results = [];
  for (const { name, times, peer } of entries) results.push({ name, times_ms: times, ...(await peer.ask({ do: "memory" })) });
  return { title, tokens, contenders: results };
}

function percentile(values, part) {
  const sorted = values.toSorted((a, b) => a - b);
  const at = part * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  return below + (at - Math.floor(at)) * (sorted[Math.ceil(at)] - below);
}

const milliseconds = (ms) => (ms >= 1000 ? ms.toFixed(0) : ms.toPrecision(4));
const middle = (values) => percentile(values, 0.5);

/** The ratio is that of the first contender's speed to this one's, round by round. */
function show({ title, tokens, contenders: [first, ...others] }) {
  console.log(`\n${title}`);
  for (const { name, times_ms: times, peak_memory_bytes: bytes } of [first, ...others]) {
    const ratios = times.map((ms, i) => ms / first.times_ms[i]);
    const ratio = name === first.name ? "" : `${middle(ratios).toFixed(2)} × (${percentile(ratios, 0.1).toFixed(2)} … ${percentile(ratios, 0.9).toFixed(2)})`;
    const spread = `±${((50 * (percentile(times, 0.9) - percentile(times, 0.1))) / middle(times)).toFixed(0)} %`;
    const speed = tokens ? `${((1000 * tokens) / middle(times)).toFixed(1)} tokens/s, peak ${(bytes / 1e6).toFixed(0)} MB` : "";
    console.log(`  ${name.padEnd(48)} ${milliseconds(middle(times)).padStart(9)} ms ${spread.padStart(6)}  ${[speed, ratio].filter(Boolean).join("; ")}`);
  }
}

const names = positionals.length ? positionals : ["quantize", "dequantize", "matmul"];
function usage(what, expected, got) {
  console.error(`run.mjs: ${what}: expected ${expected}, got ${got}`);
  process.exit(2);
}
for (const name of names) if (!Object.hasOwn(SUITES, name)) usage("suite", Object.keys(SUITES).join(", "), name);
if (!Object.hasOwn(CLOCKS, options.clock)) usage("--clock", "wall or cpu", options.clock);
if (!(Number.isInteger(threads) && threads >= 1)) usage("--threads", "a whole number of at least 1", options.threads);
if (threads > 1 && options.clock === "cpu") usage("--clock cpu", "one thread", threads);
await esbuild.build({
  entryPoints: [join(here, "nibblelm.mjs")], outfile: join(root, ".tmp/peers/nibblelm.mjs"),
  bundle: true, format: "esm", platform: "node", target: "es2022", packages: "external", loader: { ".wgsl": "text", ".wasm": "binary" }, logLevel: "warning",
});
const results = [];
console.log(`${options.clock === "cpu" ? "Processor time. " : ""}× is the first line's speed over this line's: median of the rounds (10th … 90th percentile)`);
for (const name of names) {
  const peers = new Map();
  try {
    for (const comparison of SUITES[name](options.size)) {
      const result = await compare(comparison, peers);
      if (!result.contenders.length) continue;
      show(result);
      results.push(result);
    }
  } finally {
    for (const peer of peers.values()) peer.stop();
  }
}
if (options.json) writeFileSync(options.json, `${JSON.stringify({ cpu: cpus()[0].model, node: process.version, date: new Date().toISOString(), results }, undefined, 1)}\n`);
