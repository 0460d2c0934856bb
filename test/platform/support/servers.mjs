// Starts a server, waits until it listens, and for workerd reads its memory: the inspector's numbers and the process's.
import { spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer } from "node:net";
import WebSocket from "ws";

const freePort = () => new Promise((resolve, reject) => {
  const probe = createServer();
  probe.on("error", reject);
  probe.listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

export async function startServer(command, args, cwd, env, port) {
  port ??= await freePort();
  const child = spawn(command, args, { cwd, env: { ...process.env, ...env, PORT: String(port) }, stdio: ["ignore", "ignore", "pipe"] });
  let errors = "";
  child.stderr.on("data", (chunk) => (errors = (errors + chunk).slice(-4000)));
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const url = `http://127.0.0.1:${port}`;
  for (let i = 0; ; i++) {
    if (child.exitCode !== null || i > 100) throw new Error(`${command} does not listen\n${errors}`);
    if (await fetch(`${url}/`).then(() => true, () => false)) break;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return { url, pid: child.pid, stop: () => (child.kill(), ended) };
}

/** The most that `work` had a server hold, sampled all the time. */
export async function mostMemory(server, work) {
  const most = { heap: 0, rss: 0 };
  let running = true;
  const sampler = (async () => {
    while (running) {
      const now = await server.memory();
      most.heap = Math.max(most.heap, now.heap);
      most.rss = Math.max(most.rss, now.rss);
      await new Promise((done) => setTimeout(done, 50));
    }
  })();
  try {
    return { result: await work(), most };
  } finally {
    running = false;
    await sampler;
  }
}

export async function startWorkerd(command, folder, env) {
  const [port, inspector] = [await freePort(), await freePort()];
  const server = await startServer(command, ["serve", "worker.capnp", `--socket-addr=http=127.0.0.1:${port}`, `--inspector-addr=127.0.0.1:${inspector}`], folder, env, port);
  const [target] = await (await fetch(`http://127.0.0.1:${inspector}/json`)).json();
  const socket = new WebSocket(target.webSocketDebuggerUrl);
  await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
  const waiting = new Map();
  socket.on("message", (data) => {
    const { id, result } = JSON.parse(data);
    waiting.get(id)?.(result);
    waiting.delete(id);
  });
  let id = 0;
  const ask = (method) => new Promise((resolve, reject) => {
    waiting.set(++id, resolve);
    setTimeout(() => reject(new Error(`workerd's inspector does not answer ${method}`)), 20_000).unref();
    socket.send(JSON.stringify({ id, method }));
  });
  return {
    ...server,
    /** heap: JavaScript, its buffers and every Wasm memory, which the inspector does not count; rss: of the whole process. */
    async memory() {
      const wasm = Number(await (await fetch(`${server.url}/wasm-memories`)).text());
      const { usedSize, embedderHeapUsedSize = 0, backingStorageSize = 0 } = await ask("Runtime.getHeapUsage");
      const rss = 1024 * Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${server.pid}/status`, "utf8"))[1]);
      return { heap: usedSize + embedderHeapUsedSize + backingStorageSize + wasm, wasm, rss };
    },
    stop: () => (socket.close(), server.stop()),
  };
}
