// Node 20, 22 and 24, Deno and Bun: the examples and every command of the command line.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { lastJson, run } from "../support/process.mjs";
import { tool } from "../support/project.mjs";

const CLI = "node_modules/nibblelm/dist/cli.js";
const node = (version) => ({ name: `Node ${version}`, command: tool(`node-${version}/bin/node`), version: new RegExp(`^v${version}\\.`) });

/** `api` and `cli`: what comes before the file; the permissions are all that Deno needs. */
const RUNTIMES = [
  node(20), node(22), node(24),
  {
    name: "Deno", command: tool("@deno/linux-x64-glibc/deno"), version: /^deno 2\./,
    api: ["run", "--no-prompt", "--allow-read", "--allow-write=.", "--allow-sys=cpus,uid"],
    small: ["run", "--no-prompt"], gpu: ["run", "--no-prompt", "--allow-read", "--allow-sys=cpus"],
    cli: ["run", "--no-prompt", "--allow-read", "--allow-write", "--allow-env", "--allow-sys"],
  },
  { name: "Bun", command: tool("@oven/bun-linux-x64/bin/bun"), version: /^1\./ },
];

const sha256 = (path) => createHash("sha256").update(readFileSync(path)).digest("hex");

export async function servers(report, folder) {
  const seen = { quantized: undefined, losses: undefined, exact: undefined };
  for (const runtime of RUNTIMES) await oneRuntime(report, folder, runtime, seen);
}

/** What one runtime computed, the next must: quantized bytes alike, losses as close as two engines' cosines are. */
async function oneRuntime(report, folder, { name, command, version, api = [], cli = [], small = api, gpu = api }, seen) {
  console.log(name);
  const example = async (before, file) => lastJson(await run(command, [...before, file], { cwd: folder }));
  await report.check("version", async () => {
    const text = (await run(command, ["--version"], { cwd: folder })).split("\n")[0];
    assert.match(text, version);
    return text;
  });
  await report.check("nibblelm/quant (quantize.mjs)", async () => {
    const result = await example(small, "quantize.mjs");
    assert.deepEqual(result, seen.exact ??= result);
    assert.ok(result.bitsPerValue < 4.15 && result.largestError < 0.16, JSON.stringify(result));
    return `${result.bitsPerValue.toFixed(3)} bits a value`;
  });
  await report.check("train, load and generate with threads (train.mjs)", async () => {
    const { device, losses, text } = await example(api, "train.mjs");
    assert.match(device, /2 threads/);
    closeLosses(losses, seen.losses ??= losses);
    assert.ok(losses[2] < losses[0] && text.length > 0, `losses ${losses}, text ${text}`);
    return `${device}, loss ${losses[0].toFixed(4)} → ${losses[2].toFixed(4)}`;
  });
  await report.check("WebGPU (webgpu.mjs)", async () => {
    const { device, text } = await example(gpu, "webgpu.mjs");
    assert.match(device, /^webgpu/);
    assert.ok(text.length > 0);
    return device;
  });
  await report.check("command line", () => everyCommand((args, expect) => run(command, [...cli, CLI, ...args], { cwd: folder, expect }), folder, seen));
}

export function closeLosses(losses, expected) {
  assert.equal(losses.length, 3);
  losses.forEach((loss, i) => assert.ok(Math.abs(loss - expected[i]) < 1e-4, `loss ${i}: ${loss}, expected ${expected[i]}`));
}

async function everyCommand(nibblelm, folder, seen) {
  for (const made of ["q", "a", "m"]) rmSync(join(folder, made), { recursive: true, force: true });
  const json = async (...args) => lastJson(await nibblelm([...args, "--json"]));
  assert.ok((await json("quantize", "demo", "-o", "q")).bits_per_param < 6.2);
  const quantized = sha256(join(folder, "q/model.safetensors"));
  assert.equal(quantized, seen.quantized ??= quantized, "bytes of the quantized model");
  const short = ["--max-length", "64"];
  const trained = await json("train", "--model", "q", "--data", "text.txt", "-o", "a", "--r", "4", "--max-steps", "2", "--gradient-accumulation-steps", "1", "--device", "wasm", ...short);
  assert.ok(trained.loss < 7);
  assert.ok((await json("eval", "--model", "q", "--adapter", "a", "--data", "text.txt", "--device", "wasm", ...short)).perplexity < 1000);
  assert.ok((await json("generate", "--model", "q", "--adapter", "a", "-p", "Alice", "--max-new-tokens", "4", "--device", "wasm")).text.length > 0);
  await json("merge", "--model", "q", "--adapter", "a", "-o", "m");
  assert.ok((await nibblelm(["inspect", "q"])).includes("NF4"));
  assert.ok((await nibblelm(["doctor"])).includes("nibblelm"));
  await nibblelm(["train", "--model", "q"], 2); // no data: a wrong call
  return "quantize, train, eval, generate, merge, inspect, doctor";
}
