import { fineTuneAndAsk } from "./browser.mjs";

const query = new URLSearchParams(location.search);
const options = {
  modelUrl: new URL("demo/", location.href).href, dataUrl: new URL("text.txt", location.href).href,
  kind: query.get("kind") ?? "wasm", threads: query.has("threads") ? Number(query.get("threads")) : "auto",
};

/** In the page itself. */
globalThis.inPage = async () => {
  const result = await fineTuneAndAsk({ ...options, onText: (piece) => document.querySelector("#text").append(piece) });
  document.querySelector("#facts").textContent = result.device;
  return result;
};

/** In a worker, which leaves the page free while it computes. */
globalThis.inWorker = (more = {}) => new Promise((resolve, reject) => {
  const worker = new Worker(new URL("worker.js", location.href), { type: "module" });
  worker.onmessage = ({ data }) => (data.error ? reject(new Error(data.error)) : resolve(data));
  worker.onerror = ({ message }) => reject(new Error(message));
  worker.postMessage({ ...options, ...more });
});
