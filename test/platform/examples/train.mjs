// Node, Deno and Bun: fine-tune the demo model on a text, then generate with the adapter.
// node train.mjs · deno run --allow-read --allow-write=. --allow-sys=cpus,uid train.mjs · bun train.mjs
import { createDevice, loadModel, train } from "nibblelm/node";

const device = await createDevice({ kind: "wasm", threads: 2 });
const losses = [];
await train({
  model: "demo", data: "text.txt", output: "adapter", force: true, device,
  r: 4, learningRate: 1e-3, numTrainEpochs: 3, maxLength: 64, gradientAccumulationSteps: 1,
  onStep: ({ loss }) => losses.push(loss),
});

const model = await loadModel({ model: "demo", device });
const adapter = await model.loadAdapter("adapter");
let text = "";
for await (const piece of model.generate({ prompt: "Alice was", maxNewTokens: 8, adapters: [{ adapter }] })) text += piece;
model.dispose();
await device.dispose();
console.log(JSON.stringify({ device: device.description, build: device.build, losses, text }));
