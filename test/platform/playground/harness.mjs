// What the playground's tests share: servers, pages, and words for what a user does.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import sirv from "sirv";

export const root = fileURLToPath(new URL("../../../", import.meta.url));
const FLAGS = ["--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const PATIENCE_MS = 90_000; // for a machine that others use too

export const launch = (flags = []) => chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: [...FLAGS, ...flags] });

/** Runs tests one after the other and counts them. A page that throws has failed. */
export class Suite {
  passed = 0;
  failed = 0;
  #browser;

  async start() {
    this.#browser = await launch();
    this.served = await servePlayground();
    this.folder = await mkdtemp(join(tmpdir(), "playground-"));
  }

  /** @param options of the context, and `browser` for another than the common one. */
  async test(name, work, { browser = this.#browser, ...options } = {}) {
    const began = performance.now();
    const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
    context.setDefaultTimeout(PATIENCE_MS);
    const errors = [];
    context.on("weberror", (error) => errors.push(error.error()));
    try {
      await work(context);
      assert.deepEqual(errors, [], "the page threw");
      this.passed++;
    } catch (error) {
      console.log(`FAILED  ${name}\n${error.stack}`);
      this.failed++;
      return;
    } finally {
      await context.close();
    }
    console.log(`ok      ${name} (${((performance.now() - began) / 1000).toFixed(1)} s)`);
  }

  async close() {
    await this.#browser.close();
    await this.served.close();
    await rm(this.folder, { recursive: true });
  }

  async open(context, url = this.served.url) {
    const page = await context.newPage();
    await page.goto(url);
    await ready(page);
    return page;
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

/** A host of static files that sends these headers and no others. */
export async function serveStatic(headers = {}) {
  const files = sirv(join(root, "dist/playground"), { setHeaders: (response) => { for (const [name, value] of Object.entries(headers)) response.setHeader(name, value); } });
  const server = createServer((request, response) => files(request, response, () => void response.writeHead(404).end()));
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return { url: `http://127.0.0.1:${server.address().port}/`, close: () => { server.closeAllConnections(); return new Promise((resolve) => server.close(resolve)); } };
}

/** The page has found out what it can compute with. */
export const ready = (page) => page.waitForFunction(() => document.getElementById("machine").textContent !== "Starting…" && !document.getElementById("model-demo").disabled);
export const says = (page, id, pattern) => page.waitForFunction(([id, source]) => new RegExp(source, "s").test(document.getElementById(id).textContent), [id, pattern.source]);
export const idle = (page) => page.waitForFunction(() => document.getElementById("progress").hidden && !document.getElementById("model-demo").disabled);
/** What went wrong, once everything has come to rest; empty when nothing did. */
export const saw = async (page) => { await idle(page); return (await page.isVisible("#error")) ? page.textContent("#error") : ""; };
export const give = (page, id, name, bytes) => page.setInputFiles(id, { name, mimeType: "application/octet-stream", buffer: Buffer.from(bytes) });

export async function fill(page, settings) {
  for (const [name, value] of Object.entries(settings)) await page.fill(`[name=${name}]`, String(value));
}

export async function chooseDemo(page, settings = {}) {
  await page.click("#model-demo");
  await says(page, "model-facts", /2\.76 million parameters/);
  await idle(page);
  await page.click("#data-demo");
  await says(page, "data-facts", /alice\.txt/);
  await idle(page);
  await fill(page, settings);
}

/** Rows enough to train on, few to measure. */
export const SHORT_TEXT = "The Queen of Hearts, she made some tarts, all on a summer day. ".repeat(28);

export async function chooseShort(page, settings) {
  await page.click("#model-demo");
  await says(page, "model-facts", /2\.76 million parameters/);
  await idle(page);
  await fill(page, { steps: 2, batch: 1, length: 16, ...settings });
  await give(page, "#data-file", "short.txt", SHORT_TEXT);
  await says(page, "data-facts", /short\.txt/);
  await idle(page);
}

export async function trainToTheEnd(page) {
  await page.click("#start");
  await says(page, "after-loss", /loss \d/);
  assert.equal(await saw(page), "");
}

/** Files and folders from the disk, dropped as a file manager does. */
export async function drop(page, id, paths) {
  const session = await page.context().newCDPSession(page);
  await page.locator(id).scrollIntoViewIfNeeded();
  const box = await page.locator(id).boundingBox();
  const data = { items: [], files: paths, dragOperationsMask: 1 };
  for (const type of ["dragEnter", "dragOver", "drop"]) await session.send("Input.dispatchDragEvent", { type, x: box.x + box.width / 2, y: box.y + box.height / 2, data });
}

/** Presses Stop, if there is still something to stop: an answer may have ended by itself. */
export const hush = (page) => page.evaluate(() => document.getElementById("hush").click());
