// A GPU: `navigator.gpu` in Deno and browsers, the package `webgpu` in Node and Bun.
import { createDevice, loadModel } from "nibblelm/node";

const device = await createDevice({ kind: "webgpu" });
const model = await loadModel({ model: "demo", device });
let text = "";
for await (const piece of model.generate({ prompt: "Alice was", maxNewTokens: 4 })) text += piece;
console.log(JSON.stringify({ device: device.description, text }));
model.dispose();
await device.dispose();
