// A model in NF4 with its embedding answers from workerd: it comes by range requests, as from an object store, and the
// worker stays within the memory of an edge runtime all the while.
import assert from "node:assert/strict";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { mostMemory, startWorkerd } from "../support/servers.mjs";
import { serveSite } from "../support/site.mjs";
import { tool } from "../support/project.mjs";

const LIMIT = 128e6;
const TOKENS = 32;
const JSON_TYPE = { "content-type": "application/json" };
const mb = (n) => `${(n / 1e6).toFixed(1)} MB`;

/** @param model folder written by `quantize --embeddings nf4`. @returns what was seen, in a sentence. */
export async function edgeAnswer(folder, model, { prompt, hostMemory }) {
  const site = await serveSite({ "/": model });
  const expected = await answerHere(folder, model, prompt);
  const env = { MODEL_URL: `${site.url}/`, ADAPTERS: "{}", HOSTS: "[]", HOST_MEMORY: String(hostMemory) };
  const server = await startWorkerd(tool("@cloudflare/workerd-linux-64/bin/workerd"), join(folder, "worker"), env);
  try {
    const idle = await server.memory();
    const ask = async () => {
      const response = await fetch(`${server.url}/generate`, { method: "POST", body: JSON.stringify({ prompt, maxNewTokens: TOKENS }), headers: JSON_TYPE });
      const text = await response.text();
      assert.equal(response.status, 200, text);
      return text;
    };
    const gone = new AbortController();
    const refused = assert.rejects(fetch(`${server.url}/generate`, { method: "POST", body: JSON.stringify({ prompt }), headers: JSON_TYPE, signal: gone.signal }));
    while (!site.requests.some(({ path }) => path.endsWith(".safetensors"))) await new Promise((done) => setTimeout(done, 1));
    gone.abort(); // while the base is being loaded
    await refused;
    const first = await mostMemory(server, ask);
    const second = await mostMemory(server, ask);
    for (const { result, most } of [first, second]) {
      assert.equal(result, expected);
      assert.ok(most.heap < LIMIT, `heap, buffers and Wasm memories: ${mb(most.heap)}`);
    }
    assert.ok(site.requests.filter(({ path }) => path.endsWith(".safetensors")).every(({ range }) => range), "weights come by range requests");
    return `heap + buffers + Wasm at most ${mb(first.most.heap)} while loading and answering, ${mb(second.most.heap)} answering again; RSS ${mb(idle.rss)} idle, ${mb(first.most.rss)} at most; ${JSON.stringify(expected)}`;
  } finally {
    await server.stop();
    await site.close();
  }
}

/** The same answer by the Node API: the build without relaxed SIMD gives the bits of every machine. */
async function answerHere(folder, model, prompt) {
  const { createDevice, loadModel } = await import(pathToFileURL(join(folder, "node_modules/nibblelm/dist/node.js")).href);
  const device = await createDevice({ kind: "wasm", threads: 1 });
  const lm = await loadModel({ model, device });
  let text = "";
  for await (const piece of lm.generate({ prompt, maxNewTokens: TOKENS })) text += piece;
  lm.dispose();
  await device.dispose();
  return text;
}
