// GPU drivers and runtimes: node test/platform/gpu/run.mjs [NAME…]   (golden faults llvmpipe swiftshader deno chromium; all by default)
// Each runs the whole op harness and one of PEFT's curves, golden all of PEFT's curves and gradients; faults fails a GPU at every fifth call of a run, with GPU_FAULTS=1 at every one. What is named and absent here is a failure.
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
  golden: () => spawn(process.execPath, ["build.mjs", "--test", "golden-"], { GOLDEN_GPU: "1", ONLY_DEVICES: "webgpu", REQUIRE_DEVICES: "webgpu" }),
  faults: () => spawn(process.execPath, ["build.mjs", "--test", "gpu-faults"], { GPU_FAULTS: process.env.GPU_FAULTS ?? "5", REQUIRE_DEVICES: "webgpu" }),
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
  const { status, error, stdout } = spawnSync(command, args, { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8", env: { ...process.env, ...env } });
  if (error) throw error;
  process.stdout.write(stdout);
  const { passed, failed } = countsOf(stdout.replace(/\x1b\[[0-9;]*m/g, ""));
  if (status !== 0 && !failed) throw new Error(`exit code ${status}`);
  return { passed, failed };
}

/** The closing lines of `main.ts`, or of uvu. */
function countsOf(text) {
  const own = /^(\d+) passed, (\d+) failed$/m.exec(text);
  if (own) return { passed: Number(own[1]), failed: Number(own[2]) };
  const [total, passed] = ["Total", "Passed"].map((word) => Number(new RegExp(`^ *${word}: *(\\d+)`, "m").exec(text)?.[1] ?? 0));
  return { passed, failed: total - passed };
}

const names = process.argv.slice(2);
const unknown = names.filter((name) => !(name in TARGETS));
if (unknown.length) throw new Error(`no such target: ${unknown}; there are ${Object.keys(TARGETS)}`);
await esbuild.build({
  entryPoints: ["main", "page"].map((name) => `${HERE}${name}.ts`), outdir: ".tmp/gpu", outExtension: { ".js": ".mjs" }, bundle: true, format: "esm",
  target: "es2022", external: ["webgpu", "node:*"], loader: { ".wgsl": "text", ".wasm": "binary" }, logLevel: "warning",
});
const total = { passed: 0, failed: 0 };
for (const name of names.length ? names : Object.keys(TARGETS)) {
  console.log(`\ngpu on ${name}`);
  const began = performance.now();
  const { passed, failed } = await Promise.resolve().then(TARGETS[name]).catch((error) => {
    console.log(`FAIL ${name}: ${error.message}`);
    return { passed: 0, failed: 1 };
  });
  console.log(`${name}: ${passed} passed, ${failed} failed, ${((performance.now() - began) / 1000).toFixed(0)} s`);
  total.passed += passed;
  total.failed += failed;
}
console.log(`gpus: ${total.passed} passed, ${total.failed} failed`);
process.exitCode = total.failed || !total.passed ? 1 : 0;
