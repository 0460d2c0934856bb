// GPU drivers and runtimes: node test/platform/gpu/run.mjs [NAME…]   (llvmpipe swiftshader deno chromium; all by default)
// Each runs the whole op harness and the beginning of PEFT's curve. What is named and absent here is a failure.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import esbuild from "esbuild";
import { runInChromium } from "./chromium.mjs";

const HERE = fileURLToPath(new URL(".", import.meta.url));
const SWIFTSHADER = process.env.SWIFTSHADER_ICD ?? "/usr/lib/chromium/vk_swiftshader_icd.json";
const DENO = fileURLToPath(new URL("../node_modules/.bin/deno", import.meta.url));
const PROGRAM = ".tmp/gpu/main.mjs";

/** Steps of the curve: as many as the slowest adapters do in a minute or two. */
const TARGETS = {
  llvmpipe: () => spawn(process.execPath, [PROGRAM, "20"]),
  swiftshader: () => spawn(process.execPath, [PROGRAM, "3"], { VK_DRIVER_FILES: needed(SWIFTSHADER, "apt-get install chromium") }),
  deno: () => spawn(needed(DENO, "npm ci --prefix test/platform"), ["run", "-A", PROGRAM, "5"]),
  chromium: () => runInChromium(".tmp/gpu/page.mjs", 3),
};

function needed(file, how) {
  if (!existsSync(file)) throw new Error(`${file} is missing: ${how}`);
  return file;
}

function spawn(command, args, env = {}) {
  const { status, error } = spawnSync(command, args, { stdio: "inherit", env: { ...process.env, ...env } });
  if (error) throw error;
  return status === 0;
}

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in TARGETS));
if (unknown.length) throw new Error(`no such target: ${unknown}; there are ${Object.keys(TARGETS)}`);
await esbuild.build({
  entryPoints: ["main", "page"].map((name) => `${HERE}${name}.ts`), outdir: ".tmp/gpu", outExtension: { ".js": ".mjs" }, bundle: true, format: "esm",
  target: "es2022", external: ["webgpu", "node:*"], loader: { ".wgsl": "text", ".wasm": "binary" }, logLevel: "warning",
});
let failed = 0;
for (const name of names.length ? names : Object.keys(TARGETS)) {
  console.log(`\ngpu on ${name}`);
  const began = performance.now();
  const good = await Promise.resolve().then(TARGETS[name]).catch((error) => { console.log(error.message); return false; });
  console.log(`${good ? "good" : "FAILED"}: ${name}, ${((performance.now() - began) / 1000).toFixed(0)} s`);
  if (!good) failed++;
}
process.exitCode = failed ? 1 : 0;
