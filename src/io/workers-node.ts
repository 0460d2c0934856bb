import { Worker } from "node:worker_threads";
import { DeviceError } from "../errors.ts";
import type { WorkerHandle, WorkerHost } from "../wasm/worker-host.ts";
import { workerMain } from "../wasm/worker-main.ts";

/**
 * Workers of node:worker_threads. A thread can only rank itself, so the niceness is part of its script; Deno and Bun may
 * refuse it, and what came of it is in the worker's first answer.
 */
export function nodeWorkersAt(nice: number): WorkerHost {
  return workersOf(workerScript(nice));
}

/** Workers that run this script. */
export function workersOf(script: string): WorkerHost {
  return { spawn: () => spawn(script) };
}

// A script in a string: no second file to find beside a bundle. Deno and Bun run it too.
export const workerScript = (nice: number): string => `const { parentPort } = require("node:worker_threads");
const { getPriority, setPriority } = require("node:os");
if (${nice}) try { setPriority(0, ${nice}); } catch {}
const nice = () => { try { return getPriority(0); } catch {} };
const withNice = (message) => (message.type === "ready" ? { ...message, nice: nice() } : message);
(${workerMain.toString()})((handler) => parentPort.on("message", handler), (message) => parentPort.postMessage(withNice(message)));`;

/** Workers ranked like any other program. */
export const nodeWorkers: WorkerHost = nodeWorkersAt(0);

function spawn(script: string): WorkerHandle {
  // Node ends the whole process when it starts a worker without it.
  if (typeof SharedArrayBuffer !== "function") throw new DeviceError("threads", "no shared memory here", { expected: "SharedArrayBuffer", got: "none", hint: "use one thread" });
  const worker = new Worker(script, { eval: true, execArgv: [] }); // the program's --input-type or --import is not for us
  return {
    post: (message) => worker.postMessage(message),
    onMessage: (handler) => void worker.on("message", handler),
    onEnd: (handler) => {
      worker.on("error", handler);
      worker.on("messageerror", handler);
      worker.on("exit", (code) => handler(new Error(`exit code ${code}`)));
    },
    keepAlive: (yes) => (yes ? worker.ref() : worker.unref()),
    terminate: async () => void (await worker.terminate()),
  };
}
