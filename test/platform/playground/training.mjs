// A training run with a reload in its middle, its adapter in Node and back, the keyboard, two tabs, no network.
import assert from "node:assert/strict";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { unzipSync } from "fflate";
import { createDevice, loadModel } from "../../../dist/node.js";
import { chooseDemo, chooseShort, hush, idle, ready, saw, says, trainToTheEnd } from "./harness.mjs";

const STEPS = 24;

export async function training(suite, screenshots) {
  await suite.test("a run survives a reload; its adapter is the one that Node trains, and loads there and here", async (context) => {
    const page = await suite.open(context);
    await chooseDemo(page, { steps: STEPS });
    await page.click("#start");
    await says(page, "meters", /Speed\d+ tokens\/s.*Memory\d/);
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
    if (screenshots) await takeScreenshots(page, screenshots);
    await takeToNodeAndBack(page, suite.folder);
  });

  await suite.test("pause saves, go on ends; the keyboard alone does it", async (context) => {
    const page = await suite.open(context);
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

  await suite.test("a second tab works on its own and says so", async (context) => {
    const first = await suite.open(context);
    const second = await suite.open(context);
    assert.equal(await first.isVisible("#notice"), false);
    assert.match(await second.textContent("#notice"), /open in another tab/);
    await chooseShort(second);
    await trainToTheEnd(second);
  });

  await suite.test("offline after the first load, all of it", async (context) => {
    const page = await suite.open(context);
    await page.waitForFunction(async () => (await navigator.serviceWorker.ready).active?.state === "activated");
    await context.setOffline(true);
    await page.reload();
    await ready(page);
    await chooseShort(page);
    await trainToTheEnd(page);
  });
}

async function takeToNodeAndBack(page, folder) {
  const [download] = await Promise.all([page.waitForEvent("download"), page.click("#download")]);
  const zip = join(folder, "adapter.zip");
  await download.saveAs(zip);
  const files = unzipSync(await readFile(zip));
  assert.deepEqual(Object.keys(files).sort(), ["README.md", "adapter_config.json", "adapter_model.safetensors"]);
  const adapter = join(folder, "adapter");
  await mkdir(adapter);
  for (const [name, bytes] of Object.entries(files)) await writeFile(join(adapter, name), bytes);
  await checkInNode(adapter, await page.textContent("#after-text"));

  await page.setInputFiles("#adapter-files", zip);
  await says(page, "adapter-facts", /Loaded adapter\.zip, rank 16/);
  await page.fill("#question", "The Mock Turtle");
  await page.focus("#write");
  await page.keyboard.press("Enter");
  await says(page, "with", /The Mock Turtle.{20}/);
  await hush(page);
  await idle(page);
  assert.notEqual(await page.textContent("#with"), await page.textContent("#without"));
}

/** The page's adapter continues a text in Node as in the page. */
async function checkInNode(adapterDir, shown) {
  const device = await createDevice({ kind: "wasm", threads: 1 });
  const model = await loadModel({ model: "demo", device, quantize: "nf4" });
  const adapter = await model.loadAdapter(adapterDir);
  let sample = "Alice was";
  for await (const piece of model.generate({ prompt: "Alice was", adapters: [{ adapter }], maxNewTokens: 60, temperature: 0.7, topK: 40, seed: 8 })) sample += piece;
  await device.dispose();
  assert.equal(sample.slice(0, 40), shown.slice(0, 40), "the first words in Node and in the page");
}

async function takeScreenshots(page, folder) {
  await page.screenshot({ path: join(folder, "desktop.png"), fullPage: true });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.screenshot({ path: join(folder, "dark.png"), fullPage: true });
  await page.setViewportSize({ width: 390, height: 844 });
  await page.emulateMedia({ colorScheme: "light" });
  await page.screenshot({ path: join(folder, "phone.png"), fullPage: true });
  assert.ok(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), "nothing is wider than a phone");
  await page.setViewportSize({ width: 1100, height: 900 });
}
