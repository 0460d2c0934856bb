// A model in the browser's own storage (OPFS): quantized into it, then trained with pages that come from there, and inputs of
// layers and AdamW's states that go there and back, step by step.
import { createDevice, loadModel, MemoryRun, openSource, openStored, quantize, StoredSink, storedRunFolder, train } from "nibblelm";

/** @returns losses with everything on the device and with two frames, and how many bytes the second run read from storage. */
export async function trainFromStorage({ modelUrl, dataUrl, kind = "wasm" }) {
  const root = await navigator.storage.getDirectory();
  const device = await createDevice({ kind });
  await quantize({ model: await openSource(new URL(modelUrl)), output: new StoredSink(root, "base"), device });
  const data = { name: "text.txt", bytes: new Uint8Array(await (await fetch(dataUrl)).arrayBuffer()) };
  const run = async (output, paging, where = {}) => {
    const losses = [];
    const model = await openStored(root, "base");
    const options = { r: 4, learningRate: 1e-3, maxSteps: 3, maxLength: 16, gradientAccumulationSteps: 1, saveSteps: 2, ...where };
    const result = await train({ model, data, output, device, paging, ...options, onStep: ({ loss }) => losses.push(loss) });
    return { losses, paging: result.paging };
  };
  const whole = await run(new MemoryRun());
  const runs = await root.getDirectoryHandle("runs", { create: true });
  const paged = await run(storedRunFolder(runs, "run"), { frames: 2, hostMemory: 0 }, { activationOffloading: true, optim: "paged_adamw" });
  const lm = await loadModel({ model: await openStored(root, "base"), device });
  const { rank } = await lm.loadAdapter(await openStored(runs, "result")); // as checkpoint-2 is stored beside it
  lm.dispose();
  const description = device.description;
  await device.dispose();
  return { device: description, whole: whole.losses, paged: paged.losses, paging: paged.paging, rank, stored: (await openStored(runs, "checkpoint-2")) !== undefined };
}
