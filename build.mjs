// The one build: AssemblyScript → Binaryen → esbuild, then tests, benchmarks or types on request.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import esbuild from "esbuild";

const flags = new Set(process.argv.slice(2).filter((a) => a.startsWith("--")));
const options = process.argv.slice(2).filter((a) => a.startsWith("--") && a.includes("="));
const names = process.argv.slice(2).filter((a) => !a.startsWith("--"));
const quiet = !flags.has("--verbose");

/** Wasm features of each target of asconfig.json, for Binaryen, which cannot read them off the module. */
const WASM_TARGETS = {
  simd: [],
  relaxed: ["RelaxedSIMD"],
};
/** What the small build keeps of `simd`; everything else in it, Binaryen drops. */
const QUANT_EXPORTS = new Set([
  "heapBase", "quantize4bit", "quantize8bit", "dequantize4bit", "dequantize8bit", "quantizeInt8", "quantizeInt4",
  "dequantizeInt8", "dequantizeInt4", "f16ToF32", "bf16ToF32", "f32ToF16", "f32ToBf16",
]);
const BASELINE = ["SIMD128", "BulkMemory", "BulkMemoryOpt", "SignExt", "NontrappingFPToInt", "MutableGlobals"];

function newest(dir) {
  let time = 0;
  for (const entry of readdirSync(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) time = Math.max(time, statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs);
  }
  return time;
}

async function buildWasm() {
  mkdirSync("dist/wasm", { recursive: true });
  const sources = Math.max(newest("assembly"), statSync("asconfig.json").mtimeMs, statSync("build.mjs").mtimeMs);
  const isStale = (t) => !existsSync(`dist/wasm/${t}.wasm`) || statSync(`dist/wasm/${t}.wasm`).mtimeMs < sources;
  const stale = Object.keys(WASM_TARGETS).filter(isStale);
  if (!stale.length && !isStale("quant")) return;
  const [{ default: asc }, { default: binaryen }] = await Promise.all([import("assemblyscript/asc"), import("binaryen")]);
  for (const target of stale) {
    const raw = `dist/wasm/${target}.raw.wasm`;
    const { error, stderr } = await asc.main(["--config", "asconfig.json", "--target", target, "--outFile", raw]);
    if (error) {
      process.stderr.write(stderr.toString());
      throw new Error(`asc failed for target ${target}: ${error.message}`);
    }
    const module = binaryen.readBinary(readFileSync(raw));
    // Explicit, never Features.All: that would let through what the target lacks.
    module.setFeatures([...BASELINE, ...WASM_TARGETS[target]].reduce((mask, f) => mask | binaryen.Features[f], 0));
    binaryen.setOptimizeLevel(3);
    binaryen.setShrinkLevel(0);
    module.optimize();
    if (!module.validate()) throw new Error(`binaryen: ${target} does not validate`);
    const bytes = module.emitBinary();
    module.dispose();
    rmSync(raw);
    emit(target, bytes);
  }
  emit("quant", quantPart(binaryen, readFileSync("dist/wasm/simd.wasm")));
}

function emit(target, bytes) {
  writeFileSync(`dist/wasm/${target}.wasm`, bytes);
  console.error(`wasm ${target.padEnd(14)} ${kib(bytes.length)} (${kib(gzipSync(bytes).length)} gzipped)`);
}

function quantPart(binaryen, simd) {
  const module = binaryen.readBinary(simd);
  module.setFeatures(BASELINE.reduce((mask, f) => mask | binaryen.Features[f], 0));
  const names = Array.from({ length: module.getNumExports() }, (_, i) => binaryen.getExportInfo(module.getExportByIndex(i)).name);
  const lost = [...QUANT_EXPORTS].filter((name) => !names.includes(name));
  if (lost.length) throw new Error(`no such kernels for the small build: ${lost}`);
  for (const name of names) if (!QUANT_EXPORTS.has(name)) module.removeExport(name);
  module.runPasses(["remove-unused-module-elements"]);
  if (!module.validate()) throw new Error("binaryen: quant does not validate");
  const bytes = module.emitBinary();
  module.dispose();
  return bytes;
}

const kib = (bytes) => `${(bytes / 1024).toFixed(1)} KiB`;

/** `target` is explicit: with esnext the binary loader would emit Uint8Array.fromBase64, absent before Node 26. */
const COMMON = {
  bundle: true, format: "esm", platform: "node", target: "es2022", packages: "external",
  loader: { ".wgsl": "text", ".wasm": "binary" }, logLevel: "warning",
};

const fromHex = "(hex) => Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16))";

/**
 * Wasm as hexadecimal: twice its bytes as text, but a sixth less than base64 once gzipped, whose characters hide repeated bytes.
 * Shaders lose comments and indentation, not lines: compilers name those.
 */
const SMALL = {
  name: "small",
  setup(build) {
    build.onLoad({ filter: /\.wasm$/ }, ({ path }) => ({ contents: `export default (${fromHex})("${readFileSync(path).toString("hex")}");` }));
    build.onLoad({ filter: /\.wgsl$/ }, ({ path }) => ({ loader: "text", contents: readFileSync(path, "utf8").replace(/[ \t]*\/\/.*$/gm, "").replace(/^[ \t]+/gm, "") }));
  },
};

/** The two full builds, which differ little, in turns of 2 KB: a gzip window then sees both, and the second costs a third of itself. */
const INTERLEAVED = {
  name: "interleaved",
  setup(build) {
    const TURN = 4096; // characters
    build.onResolve({ filter: /^wasm-builds$/ }, () => ({ path: "wasm-builds", namespace: "wasm-builds" }));
    build.onLoad({ filter: /^wasm-builds$/, namespace: "wasm-builds" }, () => {
      const texts = Object.keys(WASM_TARGETS).map((target) => readFileSync(`dist/wasm/${target}.wasm`).toString("hex"));
      const turns = Array.from({ length: Math.ceil(Math.max(...texts.map((t) => t.length)) / TURN) }, (_, i) => texts.map((t) => t.slice(i * TURN, (i + 1) * TURN)));
      const contents = `const turns = ${JSON.stringify(turns)}, bytes = ${fromHex};
export const [${Object.keys(WASM_TARGETS)}] = [${texts.map((_, k) => `bytes(turns.map((t) => t[${k}]).join(""))`)}];`;
      return { contents };
    });
    for (const target of Object.keys(WASM_TARGETS)) {
      build.onLoad({ filter: new RegExp(`[\\\\/]${target}\\.wasm$`) }, () => ({ contents: `export { ${target} as default } from "wasm-builds";` }));
    }
  },
};

const ENTRIES = ["index", "quant", "train", "text", "bench", "node", "cli"];

async function buildJs() {
  const { version } = JSON.parse(readFileSync("package.json", "utf8"));
  await esbuild.build({
    ...COMMON, entryPoints: ENTRIES.map((n) => `src/${n}.ts`), outdir: "dist", splitting: true, chunkNames: "chunks/[name]-[hash]",
    external: ["#kernels", "#quant-kernels"], plugins: [SMALL], define: { NIBBLELM_VERSION: JSON.stringify(version) },
  });
  for (const name of ENTRIES) nameTypes(name);
  await buildKernels();
  await buildPlayground(version);
}

/** Deno finds the types of a module from JSR by its first line. */
function nameTypes(entry) {
  const file = `dist/${entry}.js`;
  if (entry !== "cli") writeFileSync(file, `/* @ts-self-types="./jsr/${entry}.d.ts" */\n${readFileSync(file, "utf8")}`);
}

/** What `#kernels` and `#quant-kernels` of package.json lead to: bytes, or modules where a runtime compiles none. */
async function buildKernels() {
  const kernels = async (entry, out, plugins = []) => {
    await esbuild.build({ ...COMMON, entryPoints: [`src/kernels/${entry}.ts`], outfile: `dist/kernels/${out}.js`, plugins: [...plugins, INTERLEAVED, SMALL] });
  };
  const asModule = (suffix) => ({
    name: "wasm-module",
    setup: (build) => build.onResolve({ filter: /\.wasm$/ }, ({ path }) => ({ path: `../wasm/${basename(path)}${suffix}`, external: true })),
  });
  await kernels("full", "full");
  await kernels("quant", "quant");
  for (const [runtime, suffix] of [["workerd", ""], ["edge-light", "?module"]]) {
    await kernels("full", `full-${runtime}`, [asModule(suffix)]);
    await kernels("quant", `quant-${runtime}`, [asModule(suffix)]);
  }
}

/** The page: static files that any host can serve. What has been bundled decides the name of its cache. */
async function buildPlayground(version) {
  const out = "dist/playground";
  const page = { ...COMMON, outdir: out, platform: "browser", packages: "bundle", minify: true, define: { NIBBLELM_VERSION: JSON.stringify(version) } };
  rmSync(out, { recursive: true, force: true });
  await esbuild.build({ ...page, entryPoints: ["main.ts", "worker.ts", "main.css"].map((f) => `src/playground/${f}`), alias: { "#kernels": "./dist/kernels/full.js", "#quant-kernels": "./dist/kernels/quant.js" } });
  cpSync("src/playground/index.html", `${out}/index.html`);
  cpSync("src/demo", `${out}/demo`, { recursive: true });
  const files = readdirSync(out, { recursive: true }).map(String).filter((f) => statSync(join(out, f)).isFile()).sort();
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(join(out, file)));
  const define = { PLAYGROUND_FILES: JSON.stringify(files), PLAYGROUND_BUILD: JSON.stringify(hash.digest("hex").slice(0, 12)) };
  await esbuild.build({ ...page, entryPoints: ["src/playground/service-worker.ts"], define });
}

function run(command, args) {
  const { status, signal, error } = spawnSync(command, args, { stdio: "inherit" });
  if (error) throw error;
  if (status !== 0) process.exit(status ?? (signal ? 1 : 0));
}

/** Node 20 cannot load TypeScript, so tests and benchmarks are bundled first. */
async function bundle(dir, pattern) {
  const outdir = `.tmp/${dir}`;
  rmSync(outdir, { recursive: true, force: true });
  const entryPoints = readdirSync(dir, { recursive: true }).map(String)
    .filter((f) => pattern.test(f) && !f.includes("node_modules"))
    .filter((f) => !names.length || names.some((n) => f.includes(n)))
    .map((f) => join(dir, f));
  await esbuild.build({ ...COMMON, entryPoints, outdir, outbase: dir, sourcemap: "inline", outExtension: { ".js": ".mjs" }, define: { NIBBLELM_VERSION: '"test"' } });
  return outdir;
}

/** A browser's type, which Deno does not know; JSR forbids asking for the library that has it. */
const FOLDER_HANDLE = "(typeof globalThis extends { FileSystemDirectoryHandle: { prototype: infer T } } ? T : never)";

/** For JSR: Deno looks for no other file than the one named, so declarations name each other `.d.ts`, which TypeScript refuses in npm's. */
function declareForJsr() {
  rmSync("dist/jsr", { recursive: true, force: true });
  cpSync("dist/types", "dist/jsr", { recursive: true });
  for (const name of readdirSync("dist/jsr", { recursive: true }).map(String).filter((f) => f.endsWith(".d.ts"))) {
    const file = join("dist/jsr", name);
    const text = readFileSync(file, "utf8").replace(/((?:from|import\() ?"\.[^"]*?)\.ts"/g, '$1.d.ts"');
    writeFileSync(file, text.replace(/\bFileSystemDirectoryHandle\b/g, FOLDER_HANDLE));
  }
}

/** What `import kernels from "nibblelm/kernels.wasm"` gives, where a runtime can import it. */
function declareWasm() {
  const text = "declare const module: WebAssembly.Module;\nexport default module;\n";
  for (const name of [...Object.keys(WASM_TARGETS), "quant"]) writeFileSync(`dist/wasm/${name}.d.wasm.ts`, text);
}

function buildTypes() {
  run("node_modules/.bin/tsc", ["--noEmit", "false", "--emitDeclarationOnly", "--declaration", "--outDir", "dist/types", "--rootDir", "src", "-p", "tsconfig.types.json"]);
  declareForJsr();
  declareWasm();
}

const started = performance.now();
await buildWasm();
rmSync("dist/chunks", { recursive: true, force: true }); // their names change with what is in them
await buildJs();
if (flags.has("--types") || flags.has("--test")) buildTypes();
if (flags.has("--test")) {
  run(process.execPath, ["test/run.mjs", await bundle("test", /\.test\.ts$/)]);
} else if (flags.has("--bench")) {
  const outdir = await bundle("bench", /^[^/]+\.bench\.ts$/);
  for (const f of readdirSync(outdir).filter((f) => f.endsWith(".mjs"))) run(process.execPath, ["--experimental-wasm-relaxed-simd", "--expose-gc", join(outdir, f), ...options]);
} else if (!quiet) console.error(`built in ${((performance.now() - started) / 1000).toFixed(1)} s`);
