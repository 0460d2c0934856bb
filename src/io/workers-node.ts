import { Worker } from "node:worker_threads";
import type { WorkerHandle, WorkerHost } from "../wasm/worker-host.ts";
import { workerMain } from "../wasm/worker-main.ts";

// A script in a string: no second file to find beside a bundle. Deno and Bun run it too.
const SCRIPT = `const { parentPort } = require("node:worker_threads");
(${workerMain.toString()})((handler) => parentPort.on("message", handler), (message) => parentPort.postMessage(message));`;

/** Workers of node:worker_threads. */
export const nodeWorkers: WorkerHost = {
  spawn(): WorkerHandle {
    const worker = new Worker(SCRIPT, { eval: true });
    return {
      post: (message) => worker.postMessage(message),
      onMessage: (handler) => void worker.on("message", handler),
      onError: (handler) => void worker.on("error", handler),
      keepAlive: (yes) => (yes ? worker.ref() : worker.unref()),
      terminate: async () => void (await worker.terminate()),
    };
  },
};
