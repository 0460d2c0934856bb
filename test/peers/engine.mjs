// The engine's own parts for the scripts here, bundled from source: what the public API keeps to itself, such as logits.
import { pathToFileURL } from "node:url";
import esbuild from "esbuild";

const bundle = ".tmp/peers/engine.mjs";
await esbuild.build({
  stdin: {
    contents: `
      export { kernels } from "#kernels";
      export { adapterModules } from "./src/commands/attach-adapter.ts";
      export { loadLlama } from "./src/commands/load-llama.ts";
      export { loadModel } from "./src/commands/language-model.ts";
      export { openModel } from "./src/commands/open-model.ts";
      export { quantize } from "./src/commands/quantize.ts";
      export { readAdapter } from "./src/format/peft.ts";
      export { readSafetensors } from "./src/format/safetensors.ts";
      export { MemorySink } from "./src/io/memory.ts";
      export { createSink, openSource } from "./src/io/node.ts";
      export { BatchPass } from "./src/nn/batch-pass.ts";
      export { AdapterParameters } from "./src/nn/lora.ts";
      export { WasmDevice } from "./src/wasm/device.ts";`,
    resolveDir: ".",
  },
  bundle: true, format: "esm", platform: "node", target: "es2022", packages: "external", external: ["#kernels", "#quant-kernels"], loader: { ".wgsl": "text", ".wasm": "binary" }, outfile: bundle,
});
export const engine = await import(pathToFileURL(bundle).href);
