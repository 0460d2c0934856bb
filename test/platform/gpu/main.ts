// For Node and Deno: node main.mjs STEPS, from the repository's root.
import { readFile } from "node:fs/promises";
import { nodeGpu } from "../../../src/io/gpu-node.ts";
import { trust } from "./trust.ts";

const { passed, failed } = await trust({
  gpu: await nodeGpu(),
  read: async (path) => new Uint8Array(await readFile(path)),
  say: (line) => console.log(line),
  steps: Number(process.argv[2] ?? 20),
});
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed ? 1 : 0; // no exit(): a device that was disposed of must let the process end
