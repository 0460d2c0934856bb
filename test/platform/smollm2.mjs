// node test/platform/smollm2.mjs MODEL    after npm run build. MODEL: a folder by `nibblelm quantize … --embeddings nf4`.
// What CI checks with the demo model, for one that fills an edge worker's memory: SmolLM2-135M.
import { resolve } from "node:path";
import { edgeAnswer } from "./cases/edge-answer.mjs";
import { bundleWorker, makeProject } from "./support/project.mjs";

const model = process.argv[2];
if (!model) throw new Error("usage: node test/platform/smollm2.mjs MODEL");
const { folder, remove } = makeProject();
try {
  await bundleWorker(folder);
  console.log(await edgeAnswer(folder, resolve(model), { prompt: "The capital of France is", hostMemory: 110e6 }));
} finally {
  remove();
}
process.exit();
