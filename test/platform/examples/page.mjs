import { createDevice } from "nibblelm";
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

/** What a polite device is allowed, in threads, until it is allowed all again: `__tell` hears of every change. */
globalThis.politely = async (threads) => {
  const allowed = [];
  const ended = Promise.withResolvers();
  const device = await createDevice({ kind: "wasm", threads, polite: true, onAllowance: (allowance) => {
    allowed.push(allowance);
    globalThis.__tell(allowance);
    if (allowance === threads) ended.resolve();
  } });
  globalThis.__tell(threads);
  await ended.promise;
  await device.dispose();
  return { allowed, device: device.description };
};
