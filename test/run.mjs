// Runs bundled test files with uvu, one process a file, as many at once as there are cores (four at most): node test/run.mjs DIR.
// Prints each file's report when it ends, and one total in uvu's form.
import { spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { availableParallelism } from "node:os";

/** They take longest, so they begin first; any order gives the same result. */
const SLOWEST = ["golden-training", "paging", "convert", "ops", "bench", "quant-golden", "webgpu", "gpu-faults"];
/** Node 20 hides relaxed SIMD behind a flag; newer Nodes accept the flag and ignore it. */
const NODE = ["--experimental-wasm-relaxed-simd", "--enable-source-maps", "node_modules/uvu/bin.js"];
const SUMMARY = /\n *Total: +(\d+)\n *Passed: +(\d+)\n *Skipped: +(\d+)\n *Duration: .*\n*/;

const dir = process.argv[2];
const rank = (file) => (SLOWEST.findIndex((name) => file === `${name}.test.mjs`) + SLOWEST.length) % (SLOWEST.length + 1);
const files = readdirSync(dir, { recursive: true }).map(String).filter((f) => f.endsWith(".test.mjs")).sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
const began = performance.now();
const sum = { total: 0, passed: 0, skipped: 0 };
const failed = [];

function runFile(file) {
  const pattern = `^${file.replaceAll("\\", "/").replaceAll(".", "\\.")}$`;
  const child = spawn(process.execPath, [...NODE, dir, pattern], { env: { ...process.env, FORCE_COLOR: process.stdout.isTTY ? "1" : "0" } });
  const out = [];
  child.stdout.on("data", (chunk) => out.push(chunk));
  child.stderr.on("data", (chunk) => out.push(chunk));
  return new Promise((done) => child.on("close", (code, signal) => {
    const text = Buffer.concat(out).toString();
    const plain = text.replace(/\x1b\[[0-9;]*m/g, "");
    const [, total = 0, passed = 0, skipped = 0] = (SUMMARY.exec(plain) ?? []).map(Number);
    sum.total += total;
    sum.passed += passed;
    sum.skipped += skipped;
    // A file that forgets `.run()` tests nothing, and ends well.
    const fault = code !== 0 ? `ended with ${signal ?? code}` : total === 0 ? "ran no test" : undefined;
    if (fault) failed.push(`${file}: ${fault}`);
    const report = text.replace(/\n *(\x1b\[[0-9;]*m)*Total: [^]*$/, "").trimEnd();
    process.stdout.write(`${report || file}\n`);
    done();
  }));
}

const queue = [...files];
const lane = async () => {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) await runFile(file);
};
await Promise.all(Array.from({ length: Math.min(4, availableParallelism()) }, lane));

for (const fault of failed) console.log(`\n  FAIL  ${fault}`);
console.log(`\n  Total:     ${sum.total}\n  Passed:    ${sum.passed}\n  Skipped:   ${sum.skipped}\n  Duration:  ${((performance.now() - began) / 1000).toFixed(1)} s in ${files.length} files`);
process.exit(failed.length || sum.total === 0 ? 1 : 0);
