// What a page and its worker share: a model from a web server by range requests, a short training run, and an answer.
import { createDevice, loadModel, MemoryRun, openSource, train } from "nibblelm";
import { dequantizeTensor, quantizeTensor } from "nibblelm/quant";

/** @param onText called with every piece of the answer. */
export async function fineTuneAndAsk({ modelUrl, dataUrl, kind = "wasm", threads = "auto", onText = () => {} }) {
  const device = await createDevice({ kind, threads }); // auto: one thread, unless the page is cross-origin isolated
  const model = await openSource(new URL(modelUrl));
  const data = { name: "text.txt", bytes: new Uint8Array(await (await fetch(dataUrl)).arrayBuffer()) };
  const run = new MemoryRun();
  const losses = [];
  await train({
    model, data, output: run, device, r: 4, learningRate: 1e-3, numTrainEpochs: 3, maxLength: 64, gradientAccumulationSteps: 1,
    onStep: ({ loss }) => losses.push(loss),
  });
  const lm = await loadModel({ model, device });
  const adapter = await lm.loadAdapter(run.source());
  let text = "";
  for await (const piece of lm.generate({ prompt: "Alice was", maxNewTokens: 8, adapters: [{ adapter }] })) {
    text += piece;
    onText(piece);
  }
  lm.dispose();
  const description = device.description;
  await device.dispose();
  const exact = dequantizeTensor(quantizeTensor(Float32Array.of(-1, 0, 1), { blocksize: 64 }));
  return { device: description, losses, text, exact: [...exact], isolated: crossOriginIsolated };
}
