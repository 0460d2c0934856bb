// The calls of `nibblelm` with files, as a page gets them from an input or a drop: no folder is opened by hand.
import { readFileSync, readdirSync } from "node:fs";
import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { evaluate, inspect, loadModel, memoryFolder, MemoryRun, MemorySink, merge, quantize, ShapeError, train, WasmDevice } from "../src/index.ts";

const files = (folder: Iterable<readonly [string, Uint8Array | string]>): File[] => [...folder].map(([name, content]) => new File([content as Uint8Array<ArrayBuffer>], name));
const demo = files(readdirSync("src/demo").map((name) => [name, readFileSync(`src/demo/${name}`)] as const));
const text = new File(["The Queen of Hearts, she made some tarts, all on a summer day. ".repeat(8)], "text.txt");

const anywhere = suite("files as models, adapters and data");

anywhere("quantize, train, evaluate, generate, merge and inspect take them as they are", async () => {
  await using device = await WasmDevice.create({ wasm: kernels });
  const base = new MemorySink("base");
  assert.is((await quantize({ model: demo, output: base, device })).quantized, 42);
  const model = files(base.files);
  const run = new MemoryRun();
  await train({ model, data: text, evalData: text, output: run, device, maxSteps: 1, maxLength: 16, gradientAccumulationSteps: 1, learningRate: 1e-2, warmupSteps: 0 });
  const adapter = files(run.result);
  const without = await evaluate({ model, data: text, device, maxLength: 16 });
  const tuned = await evaluate({ model, adapter, data: text, device, maxLength: 16 });
  assert.ok(tuned.loss < without.loss, `${tuned.loss} after, ${without.loss} before`);
  await using lm = await loadModel({ model, device });
  const pieces: string[] = [];
  for await (const piece of lm.generate({ prompt: "The Queen", adapters: [{ adapter: await lm.loadAdapter(adapter) }], maxNewTokens: 4, temperature: 0 })) pieces.push(piece);
  assert.ok(pieces.join("").length > 0);
  const merged = new MemorySink("merged");
  assert.is((await merge({ model, adapter, output: merged, dtype: "bf16", device })).merged, 42);
  const weights = merged.files.get("model.safetensors")!;
  assert.ok((await inspect({ source: weights })).tensors.length > 42, "bytes alone are a file");
});

anywhere("a folder that is open already stays what it is; anything else is refused by name", async () => {
  await using device = await WasmDevice.create({ wasm: kernels });
  const open = memoryFolder("demo", demo.map((file) => [file.name, file] as const));
  await using lm = await loadModel({ model: open, device });
  assert.is(lm.config.numHiddenLayers, 6);
  const refused = await quantize({ model: 5 as never, output: new MemorySink("x"), device }).then(() => undefined, (error: unknown) => error);
  assert.ok(refused instanceof ShapeError && /source: expected a URL, bytes, a Blob, files/.test(refused.message), String(refused));
});

anywhere.run();
