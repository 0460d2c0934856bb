// The package as users get it: packed, linted, unpacked beside its dependencies, type-checked against and run.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const SCRIPT = `
import { dequantizeTensor, DeviceError, MemorySink, quantize as quantizeAnywhere, quantizeTensor, ShapeError, type QuantizedTensor, type QuantizeResult } from "nibblelm";
import { createDevice, loadModel, merge, openSource, quantize, train, type MergeResult } from "nibblelm/node";
import { storageBytesOf, ShapeError as QuantShapeError } from "nibblelm/quant";
import { loadTokenizer } from "nibblelm/text";
import { TRAIN_DEFAULTS, webWorkers, type WorkerHost } from "nibblelm/train";

const host: WorkerHost = webWorkers;
const entries = [storageBytesOf(quantizeTensor(new Float32Array(64).fill(1))) > 32, QuantShapeError === ShapeError, typeof loadTokenizer === "function", TRAIN_DEFAULTS.r === 16, typeof host.spawn === "function"];

const values = Float32Array.from({ length: 1000 }, (_, i) => Math.sin(i));
const q: QuantizedTensor = quantizeTensor(values, { type: "nf4", blocksize: 64, shape: [10, 100] });
const y: Float32Array = dequantizeTensor(q);
const worst = values.reduce((most, value, i) => Math.max(most, Math.abs(value - y[i]!)), 0);

let refused = false;
try {
  // @ts-expect-error: no such type
  quantizeTensor(values, { type: "nf5" });
} catch (error) {
  refused = error instanceof ShapeError;
}

const device = await createDevice({ kind: "wasm", threads: 2 });
const hint = await createDevice({ kind: "webgpu" }).then(() => "", (error: unknown) => (error instanceof DeviceError ? String(error.hint) : String(error)));
const model = await loadModel({ model: "demo", device });
const pieces = model.generate({ prompt: "Alice was", maxNewTokens: 4, temperature: 0 });
let text = "";
let tokens = 0;
for (;;) {
  const { done, value } = await pieces.next();
  if (done) { tokens = value.tokens; break; }
  text += value;
}
model.dispose();

const quantized: QuantizeResult = await quantize({ model: "demo", output: "demo-nf4", device });
const sink = new MemorySink("demo-fp4");
await quantizeAnywhere({ model: await openSource("node_modules/nibblelm/src/demo"), output: sink, type: "fp4", device });
await train({ model: "demo-nf4", data: "text.txt", output: "adapter", maxSteps: 1, maxLength: 16, gradientAccumulationSteps: 1, device });
const merged: MergeResult = await merge({ model: "demo-nf4", adapter: "adapter", output: "merged", dtype: "bf16", device });
let replaced = false;
try {
  await merge({ model: "demo-nf4", adapter: "adapter", output: "demo-nf4", force: true });
  replaced = true;
} catch (error) {
  if (!(error instanceof ShapeError)) throw error;
}
(await loadModel({ model: "merged", device })).dispose();
let rank = 0;
{
  await using again = await loadModel({ model: "demo-nf4", device });
  rank = (await again.loadAdapter("adapter")).rank;
}
await device.dispose();
console.log(JSON.stringify({ entries, worst, refused, hint, text, tokens, device: device.description, quantized: quantized.quantized, merged: merged.merged, replaced, rank, files: [...sink.files.keys()] }));
`;

const TSCONFIG = {
  compilerOptions: { strict: true, noUncheckedIndexedAccess: true, exactOptionalPropertyTypes: true, target: "es2022", module: "nodenext", lib: ["es2023", "dom", "dom.iterable", "esnext.disposable"], types: ["node"], skipLibCheck: false },
  files: ["use.ts"],
};

const run = (command: string, args: string[], cwd: string): string => execFileSync(command, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** Links a package of this checkout into `modules`: what an installation would have fetched. */
function link(name: string, modules: string): void {
  const to = join(modules, name);
  mkdirSync(dirname(to), { recursive: true });
  symlinkSync(realpathSync(join("node_modules", name)), to);
}

const bin = (name: string, path: string): string => join(realpathSync(join("node_modules", name)), path);
const npm = process.platform === "win32" ? "npm.cmd" : "npm";
const packed = suite("package");

packed("what npm would install type-checks and runs", () => {
  const folder = mkdtempSync(join(tmpdir(), "nibblelm-package-"));
  try {
    const modules = join(folder, "node_modules");
    mkdirSync(join(modules, "nibblelm"), { recursive: true });
    run(npm, ["pack", "--ignore-scripts", "--pack-destination", folder], ".");
    const tarball = readdirSync(folder).find((file) => file.endsWith(".tgz"))!;
    run(process.execPath, [bin("publint", "src/cli.js"), join(folder, tarball), "--strict"], ".");
    run(process.execPath, [bin("@arethetypeswrong/cli", "dist/index.js"), join(folder, tarball), "--profile", "esm-only"], ".");
    run("tar", ["-xzf", join(folder, tarball), "-C", join(modules, "nibblelm"), "--strip-components=1"], ".");
    const { dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as { dependencies: Record<string, string> };
    for (const name of [...Object.keys(dependencies), "@types/node"]) link(name, modules);
    writeFileSync(join(folder, "package.json"), JSON.stringify({ type: "module" }));
    writeFileSync(join(folder, "tsconfig.json"), JSON.stringify(TSCONFIG));
    writeFileSync(join(folder, "use.ts"), SCRIPT);
    writeFileSync(join(folder, "text.txt"), "It was the White Rabbit, trotting slowly back again, and looking anxiously about as it went. ".repeat(4));
    run(process.execPath, [bin("typescript", "bin/tsc"), "-p", folder], ".");
    const result = JSON.parse(run(process.execPath, ["use.js"], folder)) as { entries: boolean[]; worst: number; refused: boolean; hint: string; text: string; tokens: number; device: string; quantized: number; merged: number; replaced: boolean; rank: number; files: string[] };
    assert.ok(result.worst > 0 && result.worst < 0.16, `largest error ${result.worst}`);
    assert.ok(result.refused);
    assert.match(result.hint, /npm install webgpu/, "the optional package is absent here");
    assert.equal(result.entries, [true, true, true, true, true]);
    assert.is(result.tokens, 4);
    assert.ok(result.text.length > 0);
    assert.match(result.device, /2 threads/);
    assert.is(result.quantized, 42);
    assert.is(result.merged, 42);
    assert.is(result.rank, 16, "a model of nibblelm/node takes its adapter from a path");
    assert.not(result.replaced, "an output never replaces an input");
    assert.ok(result.files.includes("model.safetensors") && result.files.includes("tokenizer.json"));
  } catch (error) {
    const { stdout = "", stderr = "", message } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${message}\n${stdout}${stderr}`);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

packed.run();
