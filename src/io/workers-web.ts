import { DeviceError } from "../errors.ts";
import type { WorkerHandle, WorkerHost } from "../wasm/worker-host.ts";
import { workerMain, type FromWorker } from "../wasm/worker-main.ts";

// A script in a string, as a blob: no second file for a bundler to find or a server to serve.
const SCRIPT = `(${workerMain.toString()})((handler) => addEventListener("message", ({ data }) => handler(data)), (message) => postMessage(message));`;

/** Browsers hide SharedArrayBuffer from pages that are not cross-origin isolated; edge runtimes have no Worker. */
const canShare = (): boolean => typeof Worker === "function" && typeof SharedArrayBuffer === "function";

const MOST = 8; // a phone's cores beyond are slow ones, and a page has neighbours

/** Threads that this runtime can give: 1 where memory cannot be shared, else one core less than there are. */
export function webThreads(): number {
  return canShare() ? Math.min(MOST, Math.max(1, (globalThis.navigator?.hardwareConcurrency ?? 1) - 1)) : 1;
}

/** Workers of browsers, Deno and Bun. */
export const webWorkers: WorkerHost = {
  spawn(): WorkerHandle {
    if (!canShare()) {
      throw new DeviceError("threads", "no shared memory here", {
        expected: "Worker and SharedArrayBuffer", got: `${typeof Worker} and ${typeof SharedArrayBuffer}`,
        hint: "a page needs the headers Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp; Node takes createDevice from nibblelm/node; `threads: \"auto\"` is one thread here",
      });
    }
    const url = URL.createObjectURL(new Blob([SCRIPT], { type: "text/javascript" }));
    const worker = new Worker(url);
    return {
      post: (message) => worker.postMessage(message),
      onMessage: (handler) => worker.addEventListener("message", ({ data }: MessageEvent<FromWorker>) => handler(data)),
      onEnd: (handler) => worker.addEventListener("error", ({ message }) => handler(new Error(message || "its script was refused: does the page's CSP allow worker-src blob:?"))),
      keepAlive() {},
      async terminate() {
        worker.terminate();
        URL.revokeObjectURL(url);
      },
    };
  },
};
