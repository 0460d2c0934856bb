// What Next.js does around an edge function, on the runtime that it uses: kernels become modules before the code runs, and
// bytes compile to nothing from then on. node edge-light.mjs BUNDLE WASM-FOLDER
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";
import { EdgeRuntime, runServer } from "edge-runtime";

const [entry, wasmFolder] = process.argv.slice(2);
const modules = new Set();
const asGlobals = {
  name: "wasm-modules",
  setup(build) {
    build.onResolve({ filter: /\.wasm\?module$/ }, ({ path }) => ({ path, namespace: "wasm-module" }));
    build.onLoad({ filter: /.*/, namespace: "wasm-module" }, ({ path }) => {
      const file = basename(path, "?module");
      modules.add(file);
      return { contents: `export default globalThis[${JSON.stringify(file)}];` };
    });
  },
};
const { outputFiles: [{ text }] } = await build({
  stdin: { contents: `import handle from ${JSON.stringify(entry)}; addEventListener("fetch", (event) => event.respondWith(handle(event.request, event)));`, resolveDir: join(entry, "..") },
  bundle: true, minify: true, format: "iife", target: "es2022", conditions: ["edge-light", "browser"], plugins: [asGlobals], write: false, logLevel: "error",
});
const runtime = new EdgeRuntime({ extend: (context) => Object.assign(context, { process: { env: { ...process.env } } }) });
const compile = runtime.evaluate("(bytes) => new WebAssembly.Module(bytes)");
for (const file of modules) runtime.context[file] = compile(readFileSync(join(wasmFolder, file)));
runtime.evaluate(`
  const refuse = () => { throw new WebAssembly.CompileError("bytes compile to nothing here"); };
  Object.assign(WebAssembly, { compile: refuse, compileStreaming: refuse, Module: new Proxy(WebAssembly.Module, { construct: refuse }) });`);
runtime.evaluate(text);
await runServer({ runtime, host: "127.0.0.1", port: Number(process.env.PORT) });
