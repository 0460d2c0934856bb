// The edge worker in workerd, in Deno and in Node behind Hono: one handler, the same checks, memory measured in workerd.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { bundleWorker, demo, tool } from "../support/project.mjs";
import { serveSite } from "../support/site.mjs";
import { mostMemory, startServer, startWorkerd } from "../support/servers.mjs";
import { edgeAnswer } from "./edge-answer.mjs";
import { announce, chunksOf, postStream, syntheticFile } from "../support/synthetic.mjs";

const OCTETS = { "content-type": "application/octet-stream" };
const JSON_TYPE = { "content-type": "application/json" };
const LIMIT = 128e6;
const HERE = fileURLToPath(new URL(".", import.meta.url));

export async function edge(report, folder) {
  const library = await import(pathToFileURL(join(folder, "node_modules/nibblelm/dist/node.js")).href);
  const site = await serveSite({ "/demo/": demo(folder), "/": folder });
  const context = { report, folder, library, site, env: { MODEL_URL: `${site.url}/demo/`, HOSTS: JSON.stringify([new URL(site.url).host]) } };
  try {
    await makeAdapters(context);
    await bundleWorker(folder);
    await report.check("workerd: a base with its embedding in 4 bits answers 32 tokens in less than 128 MB", async () => {
      await library.quantize({ model: "demo", output: join(folder, "nf4"), embeddings: "nf4" });
      return edgeAnswer(folder, join(folder, "nf4"), { prompt: "Alice was", hostMemory: 16e6 });
    });
    const started = {
      workerd: () => startWorkerd(tool("@cloudflare/workerd-linux-64/bin/workerd"), join(folder, "worker"), context.env),
      "edge-light": () => startServer(tool("node-22/bin/node"), [join(HERE, "../support/edge-light.mjs"), join(folder, "edge/edge-light.mjs"), join(folder, "node_modules/nibblelm/dist/wasm")], folder, context.env),
      Deno: () => startServer(tool("@deno/linux-x64-glibc/deno"), ["run", "--no-prompt", "--allow-net", "--allow-env=MODEL_URL,ADAPTERS,HOSTS,PORT", "edge/deno.mjs"], folder, context.env),
      "Node 22 behind Hono": () => startServer(tool("node-22/bin/node"), ["edge/node.mjs"], folder, context.env),
    };
    for (const [name, start] of Object.entries(started)) {
      console.log(`Edge: ${name}`);
      const server = await start();
      try {
        const idle = await server.memory?.();
        await everyRoute(context, server);
        if (idle) await memoryOf(context, server, idle);
      } finally {
        await server.stop();
      }
    }
  } finally {
    await site.close();
  }
}

/** Two adapters that say something else than the base, and what each must answer. */
async function makeAdapters(context) {
  const { library, folder, env, site } = context;
  const device = await library.createDevice({ kind: "wasm", threads: 1 });
  const adapters = {};
  for (const [name, text] of [["rabbit", "Alice was a rabbit. "], ["queen", "Alice was the queen! "]]) {
    const data = { name: "t.txt", bytes: new TextEncoder().encode(text.repeat(40)) };
    await library.train({ model: "demo", data, output: join(folder, name), device, r: 4, learningRate: 2e-2, maxSteps: 12, maxLength: 32, gradientAccumulationSteps: 1, seed: 1 });
    adapters[name] = `${site.url}/${name}/`;
  }
  const model = await library.loadModel({ model: "demo", device, quantize: "nf4" });
  context.answers = { base: await answer(model) };
  for (const name of Object.keys(adapters)) context.answers[name] = await answer(model, await model.loadAdapter(await library.openSource(join(folder, name))));
  assert.equal(new Set(Object.values(context.answers)).size, 3, JSON.stringify(context.answers));
  await device.dispose();
  env.ADAPTERS = JSON.stringify(adapters);
}

async function answer(model, adapter) {
  let text = "";
  for await (const piece of model.generate({ prompt: "Alice was", adapters: adapter ? [{ adapter }] : [], maxNewTokens: 8 })) text += piece;
  return text;
}

async function everyRoute({ report, folder, library, site, answers }, { url }) {
  const file = new Uint8Array(readFileSync(demo(folder, "model.safetensors")));
  const post = (path, body, headers = OCTETS) => fetch(url + path, { method: "POST", body, headers });
  const bytes = async (response) => new Uint8Array(await response.arrayBuffer());
  const through = async (convert, input) => bytes(new Response(convert(new Blob([input]).stream(), { name: "body" })));
  let quantized;
  await report.check("a file streams through NF4 + double quantization, and back", async () => {
    const response = await post("/quantize", file);
    quantized = await bytes(response);
    assert.equal(response.status, 200, new TextDecoder().decode(quantized.subarray(0, 300)));
    assert.deepEqual(Buffer.compare(quantized, await through(library.quantizeStream, file)), 0);
    const back = await bytes(await post("/dequantize", quantized));
    assert.deepEqual(Buffer.compare(back, await through(library.dequantizeStream, quantized)), 0);
    return `${file.length} → ${quantized.length} → ${back.length} bytes`;
  });
  await report.check("a remote model is inspected by range requests", async () => {
    const before = site.requests.length;
    const response = await fetch(`${url}/inspect?url=${encodeURIComponent(`${site.url}/demo/`)}`);
    const { kind, tensors } = await response.json();
    assert.deepEqual([response.status, kind, tensors], [200, "model", 56]);
    const asked = site.requests.slice(before).filter(({ path }) => path.endsWith("model.safetensors"));
    assert.ok(asked.length >= 1 && asked.length <= 3 && asked.every(({ range }) => range), JSON.stringify(asked));
    return `${asked.length} requests for the weights`;
  });
  await report.check("an adapter is merged into a tensor", async () => {
    const module = "model.layers.0.self_attn.q_proj";
    const { shape } = (await library.readSafetensors(await library.openSource(demo(folder)), "model.safetensors")).get(`${module}.weight`);
    const data = Float32Array.from({ length: shape[0] * shape[1] }, (_, i) => Math.sin(i));
    const response = await post(`/merge?adapter=queen&module=${module}`, library.encodeSafetensors([{ name: "w", dtype: "F32", shape, data }]));
    assert.equal(response.status, 200, await response.clone().text());
    const merged = (await library.readSafetensors(await library.openSource(await bytes(response), { name: "m" }), "m")).get("w");
    const device = await library.createDevice({ kind: "wasm", threads: 1 });
    const expected = await library.mergeTensor({ values: data, shape, module, adapter: await library.openSource(join(folder, "queen")), device });
    await device.dispose();
    const worst = expected.reduce((most, value, i) => Math.max(most, Math.abs(value - merged.data[i])), 0);
    assert.ok(worst < 1e-6 && expected.some((value, i) => Math.abs(value - data[i]) > 1e-4), `largest difference ${worst}`);
  });
  const generate = (body, init = {}) => fetch(`${url}/generate`, { method: "POST", body: JSON.stringify(body), headers: JSON_TYPE, ...init });
  await report.check("one NF4 base answers with an adapter chosen per request", async () => {
    const asked = ["base", "rabbit", "queen", "base", "queen"];
    const texts = await Promise.all(asked.map(async (name) => (await generate({ prompt: "Alice was", maxNewTokens: 8, ...(name === "base" ? {} : { adapter: name }) })).text()));
    assert.deepEqual(texts, asked.map((name) => answers[name]));
    return JSON.stringify(answers);
  });
  await report.check("what is wrong gets its status and a sentence", async () => {
    const expectError = async (response, status, pattern) => {
      const text = await response.text();
      assert.equal(response.status, status, text);
      assert.match(JSON.parse(text).error, pattern);
    };
    await expectError(await fetch(`${url}/nowhere`), 404, /routes/);
    await expectError(await fetch(`${url}/quantize`), 405, /routes/);
    await expectError(await post("/quantize", file.subarray(0, 100), { "content-type": "text/plain" }), 415, /expected application\/octet-stream, got text\/plain/);
    await expectError(await post("/quantize", "this is no tensor file at all"), 422, /header length/);
    await expectError(await post("/quantize", file.subarray(0, 100)), 422, /ended early/);
    await expectError(await post("/dequantize", file.subarray(0, 6)), 422, /ended early/);
    await expectError(await announce(`${url}/merge?adapter=queen&module=x`, 33e6), 413, /Content-Length: expected at most 32000000/);
    await expectError(await post("/merge?adapter=nobody&module=x", library.encodeSafetensors([{ name: "w", dtype: "F32", shape: [1, 1], data: new Float32Array(1) }])), 404, /no adapter nobody/);
    await expectError(await post("/merge?adapter=queen&module=x", library.encodeSafetensors([{ name: "w", dtype: "U8", shape: [1], data: new Uint8Array(1) }])), 422, /expected one, F32/);
    await expectError(await generate({ prompt: 5 }), 400, /prompt is missing/);
    await expectError(await generate({ prompt: "x", maxNewTokens: 0.5 }), 400, /maxNewTokens: expected a whole number/);
    await expectError(await generate({ prompt: "x", adapter: "nobody" }), 404, /no adapter nobody/);
    await expectError(await fetch(`${url}/inspect?url=http://example.com/`), 403, /not among the hosts/);
  });
  await report.check("aborted requests leave the worker usable", async () => {
    for (let i = 0; i < 3; i++) {
      const stop = new AbortController();
      const response = await generate({ prompt: "Alice was", maxNewTokens: 200 }, { signal: stop.signal });
      await response.body.getReader().read();
      stop.abort();
    }
    assert.equal(await (await generate({ prompt: "Alice was", maxNewTokens: 8 })).text(), answers.base);
  });
}

/** While a gigabyte passes: what the JavaScript heap and its buffers hold, Wasm's included, and how workerd itself grows. */
async function memoryOf({ report, library }, server, idle) {
  const mb = (n) => `${(n / 1e6).toFixed(0)} MB`;
  await report.check("1 GB streams through in less than 128 MB, and what is aborted is freed", async () => {
    const { header, tensorBytes, tensors } = syntheticFile({ tensors: 16, rows: 4096, columns: 4096 });
    const total = header.length + tensors * tensorBytes;
    const expected = createHash("sha256");
    for await (const chunk of library.quantizeStream(ReadableStream.from(chunksOf(header, tensors, tensorBytes)), { name: "body" })) expected.update(chunk);
    // Each of these would hold 6 MB if it were not freed, and the limit below would not be kept.
    for (let i = 0; i < 16; i++) assert.ok((await postStream(`${server.url}/quantize`, chunksOf(header, tensors, tensorBytes), { stopAfter: 1e6 })).aborted);
    const began = performance.now();
    const { result: { hash, bytes }, most } = await mostMemory(server, () => postStream(`${server.url}/quantize`, chunksOf(header, tensors, tensorBytes), {}));
    const seconds = (performance.now() - began) / 1000;
    assert.equal(hash, expected.digest("hex"));
    assert.ok(most.heap < LIMIT, `heap and buffers ${most.heap}`);
    return `${mb(total)} in, ${mb(bytes)} out, ${seconds.toFixed(1)} s; heap + buffers + Wasm at most ${mb(most.heap)} with the model resident, RSS ${mb(idle.rss)} idle, ${mb(most.rss)} at most`;
  });
}
