// The playground in a real Chromium: a training run with a reload in its middle, the adapter taken to Node and back, and
// what a page must survive. `node test/platform/playground.mjs [--screenshots DIR]`, after `npm run build`.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { unzipSync } from "fflate";
import { chromium } from "playwright-core";
import sirv from "sirv";
import { createDevice, loadModel, train } from "../../dist/node.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const screenshots = process.argv.includes("--screenshots") ? process.argv[process.argv.indexOf("--screenshots") + 1] : undefined;
const FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const STEPS = 24;
let passed = 0, failed = 0;

const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
const served = await servePlayground();
const folder = await mkdtemp(join(tmpdir(), "playground-"));
if (screenshots) await mkdir(screenshots, { recursive: true });

async function test(name, work, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const errors = [];
  context.on("weberror", (error) => errors.push(error.error()));
  try {
    await work(context);
    assert.deepEqual(errors, [], "the page threw");
    console.log(`ok      ${name}`);
    passed++;
  } catch (error) {
    console.log(`FAILED  ${name}\n${error.stack}`);
    failed++;
  } finally {
    await context.close();
  }
}

/** `nibblelm playground`, as a user starts it. */
async function servePlayground() {
  const child = spawn(process.execPath, [join(root, "dist/cli.js"), "playground", "--port", "0", "--json"], { stdio: ["ignore", "pipe", "ignore"] });
  const url = await new Promise((resolve, reject) => {
    child.stdout.once("data", (line) => resolve(JSON.parse(String(line)).url));
    child.once("exit", (code) => reject(new Error(`nibblelm playground ended with ${code}`)));
  });
  return { url, close: () => new Promise((resolve) => { child.once("exit", resolve); child.kill("SIGINT"); }) };
}

/** A host that sends no headers of its own. */
async function serveStatic() {
  const files = sirv(join(root, "dist/playground"));
  const server = createServer((request, response) => files(request, response, () => void response.writeHead(404).end()));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => { server.closeAllConnections(); return new Promise((resolve) => server.close(resolve)); } };
}

async function openPage(context, url = served.url) {
  const page = await context.newPage();
  await page.goto(url);
  await ready(page);
  return page;
}

const ready = (page) => page.waitForFunction(() => document.getElementById("machine").textContent.startsWith("Computing"));
const says = (page, id, pattern, timeout = 60_000) => page.waitForFunction(([id, source]) => new RegExp(source).test(document.getElementById(id).textContent), [id, pattern.source], { timeout });
const idle = (page) => page.waitForFunction(() => document.getElementById("progress").hidden && !document.getElementById("model-demo").disabled);
const saw = (page) => page.textContent("#error");

async function chooseDemo(page, settings = {}) {
  await page.click("#model-demo");
  await says(page, "model-facts", /2\.76 million parameters/);
  await idle(page);
  await page.click("#data-demo");
  await says(page, "data-facts", /alice\.txt/);
  await idle(page);
  for (const [name, value] of Object.entries({ steps: STEPS, ...settings })) await page.fill(`[name=${name}]`, String(value));
}

await test("a run survives a reload; its adapter is the one that Node trains, and loads there and here", async (context) => {
  const page = await openPage(context);
  await chooseDemo(page);
  await page.click("#start");
  await says(page, "bar-text", /^Step 1[2-9] of/);
  await page.reload();
  await ready(page);
  await says(page, "start", /Go on from step 1\d/);
  assert.match(await page.textContent("#before-loss"), /loss 5\.\d\d on unseen text/);
  await page.click("#start");
  await says(page, "after-loss", /loss \d/);
  await idle(page);
  assert.match(await page.getAttribute("#chart", "aria-label"), new RegExp(`step ${STEPS}$`));
  const loss = Number(/loss (\S+)/.exec(await page.textContent("#after-loss"))[1]);
  assert.ok(loss < 4.9, `loss ${loss}`);
  if (screenshots) await takeScreenshots(page);

  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  const zip = join(folder, "adapter.zip");
  await download.saveAs(zip);
  const files = unzipSync(await readFile(zip));
  assert.deepEqual(Object.keys(files).sort(), ["README.md", "adapter_config.json", "adapter_model.safetensors"]);
  const adapter = join(folder, "adapter");
  await mkdir(adapter);
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(adapter, name), bytes);
  await checkInNode(adapter, files["adapter_model.safetensors"], page);

  await page.setInputFiles("#adapter-files", zip);
  await says(page, "adapter-facts", /Loaded adapter\.zip, rank 16/);
  await page.fill("#question", "The Mock Turtle");
  await page.focus("#write");
  await page.keyboard.press("Enter");
  await says(page, "with", /The Mock Turtle.{20}/s);
  await idle(page);
  assert.notEqual(await page.textContent("#with"), await page.textContent("#without"));
});

/** The page's adapter continues a text in Node as in the page. */
async function checkInNode(adapterDir, bytes, page) {
  const device = await createDevice({ kind: "wasm", threads: 1 });
  const model = await loadModel({ model: "demo", device, quantize: "nf4" });
  const adapter = await model.loadAdapter(adapterDir);
  let sample = "Alice was";
  for await (const piece of model.generate({ prompt: "Alice was", adapters: [{ adapter }], maxNewTokens: 60, temperature: 0.7, topK: 40, seed: 8 })) sample += piece;
  const shown = await page.textContent("#after-text");
  assert.equal(sample.slice(0, 40), shown.slice(0, 40), "the first words in Node and in the page");
  await device.dispose();
}

async function takeScreenshots(page) {
  await page.screenshot({ path: join(screenshots, "desktop.png"), fullPage: true });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(screenshots, "dark.png"), fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: "light" });
  await page.screenshot({ path: join(screenshots, "phone.png"), fullPage: true });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than a phone");
  await page.setViewportSize({ width: 1100, height: 900 });
}

await test("pause saves, go on ends; the keyboard alone does it", async (context) => {
  const page = await openPage(context);
  const press = async (id) => { await page.focus(id); await page.keyboard.press("Enter"); };
  await press("#model-demo");
  await says(page, "model-facts", /2\.76 million/);
  await idle(page);
  await press("#data-demo");
  await says(page, "data-facts", /alice/);
  await idle(page);
  await page.fill("[name=steps]", "8");
  await press("#start");
  await says(page, "bar-text", /^Step [23] of 8/);
  await press("#pause");
  await says(page, "start", /Go on from step [3-6]/);
  await idle(page);
  await press("#start");
  await says(page, "start", /Train again/);
  assert.equal(await saw(page), "");
});

await test("what is no model, no text or too little text is said in a sentence, and the page goes on", async (context) => {
  const page = await openPage(context);
  const give = (id, name, text) => page.setInputFiles(id, { name, mimeType: "application/octet-stream", buffer: Buffer.from(text) });
  await give("#model-files", "cat.png", "not a model");
  await says(page, "error", /config\.json or a \.gguf file/);
  await give("#model-files", "broken.gguf", "GGUF, but cut off");
  await says(page, "error", /broken\.gguf/);
  await idle(page);
  await chooseDemo(page, { steps: 2 });
  assert.equal(await page.isVisible("#error"), false);
  await give("#data-file", "notes.docx", "hello");
  await says(page, "error", /\.txt or \.jsonl/);
  await give("#data-file", "short.txt", "Too short.");
  await says(page, "error", /short\.txt/);
  await give("#data-file", "broken.jsonl", `{"text": "one"}\n{"text": \n`);
  await says(page, "error", /broken\.jsonl:2/);
  await give("#adapter-files", "adapter.zip", "no zip");
  await says(page, "error", /not a zip file/);
  await idle(page);
  await page.click("#start");
  await says(page, "after-loss", /loss \d/);
});

await test("a second tab works on its own and says so", async (context) => {
  const first = await openPage(context);
  const second = await openPage(context);
  assert.equal(await first.isVisible("#notice"), false);
  assert.match(await second.textContent("#notice"), /open in another tab/);
  await chooseDemo(second, { steps: 2 });
  await second.click("#start");
  await says(second, "after-loss", /loss \d/);
});

await test("storage that is full is said, and the page goes on", async (context) => {
  const page = await openPage(context);
  const session = await context.newCDPSession(page);
  const quota = (quotaSize) => session.send("Storage.overrideQuotaForOrigin", { origin: new URL(served.url).origin, ...(quotaSize ? { quotaSize } : {}) });
  await quota(400_000);
  await page.click("#model-demo");
  await says(page, "error", /storage is full/);
  await idle(page);
  await quota();
  await page.click("#model-demo");
  await says(page, "model-facts", /2\.76 million/);
});

await test("offline after the first load, all of it", async (context) => {
  const page = await openPage(context);
  await page.waitForFunction(async () => (await navigator.serviceWorker.ready).active?.state === "activated");
  await context.setOffline(true);
  await page.reload();
  await ready(page);
  await chooseDemo(page, { steps: 2 });
  await page.click("#start");
  await says(page, "after-loss", /loss \d/);
});

const plain = await serveStatic();
await test("a host without headers: the service worker isolates the page", async (context) => {
  const page = await openPage(context, plain.url);
  await page.waitForFunction(() => crossOriginIsolated);
  assert.doesNotMatch(await page.textContent("#machine"), /not cross-origin isolated/);
});

await test("without shared memory it trains on one thread and says so", async (context) => {
  const page = await openPage(context, plain.url);
  assert.equal(await page.evaluate(() => typeof SharedArrayBuffer), "undefined");
  assert.match(await page.textContent("#machine"), /1 thread.*not cross-origin isolated/);
  await chooseDemo(page, { steps: 2 });
  await page.click("#start");
  await says(page, "after-loss", /loss \d/);
}, { serviceWorkers: "block" });

await plain.close();
await browser.close();
await served.close();
await rm(folder, { recursive: true });
console.log(`playground: ${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
