// Chromium: the library in a page and in a worker, with and without cross-origin isolation, on a GPU, and under a strict CSP.
import assert from "node:assert/strict";
import { cpSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { bundlePage, launchChromium } from "../support/browser.mjs";
import { demo } from "../support/project.mjs";
import { serveSite } from "../support/site.mjs";
import { closeLosses } from "./servers.mjs";

export async function chromium(report, folder) {
  console.log("Chromium");
  const site = join(folder, "site");
  mkdirSync(site);
  await bundlePage(folder, ["page.mjs", "worker.mjs"], site);
  cpSync(join(folder, "page.html"), join(site, "page.html"));
  cpSync(join(folder, "text.txt"), join(site, "text.txt"));
  const browser = await launchChromium();
  const context = { report, browser, folders: { "/demo/": demo(folder), "/": site }, losses: undefined };
  try {
    await allCases(context);
  } finally {
    await browser.close();
  }
}

/** Opens the page, calls `work` on it, and holds that nothing was written to the console as an error. */
async function withPage({ browser, folders }, server, query, work) {
  const site = await serveSite(folders, server);
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  try {
    await page.goto(`${site.url}/page.html${query}`);
    await page.waitForFunction("globalThis.inPage !== undefined", undefined, { timeout: 20_000 });
    const result = await work(page, site);
    assert.deepEqual(errors, []);
    return result;
  } finally {
    await page.close();
    await site.close();
  }
}

/** The pressure is made up, as the protocol for developer tools allows; all behind it is Chromium's Compute Pressure. */
async function politely(page) {
  const tools = await page.context().newCDPSession(page);
  const say = (state) => tools.send("Emulation.setPressureStateOverride", { source: "cpu", state });
  await tools.send("Emulation.setPressureSourceOverrideEnabled", { source: "cpu", enabled: true, metadata: { available: true } });
  await page.exposeFunction("__tell", (allowance) => say(allowance === 1 ? "nominal" : "critical"));
  const { allowed, device } = await page.evaluate("politely(2)");
  assert.deepEqual(allowed, [1, 2]);
  assert.match(device, /2 threads, polite/);
  return `${device}: ${allowed}`;
}

async function allCases(context) {
  const { report, browser } = context;
  const right = ({ losses, text, exact }) => {
    closeLosses(losses, context.losses ??= losses);
    assert.ok(losses[2] < losses[0] && text.length > 0, `losses ${losses}, text ${text}`);
    assert.deepEqual(exact, [-1, 0, 1]);
  };
  await report.check("version", async () => browser.version());
  await report.check("in a page that is cross-origin isolated: threads", () => withPage(context, { isolated: true }, "?threads=2", async (page, site) => {
    const result = await page.evaluate("inPage()");
    right(result);
    assert.match(result.device, /2 threads/);
    assert.ok((await page.textContent("#text")).length > 0);
    assert.ok(site.requests.some(({ path, range }) => path.endsWith("model.safetensors") && range), "the model comes by range requests");
    return result.device;
  }));
  await report.check("polite: threads go while the pressure that Chromium tells is critical, and come back", () => withPage(context, { isolated: true }, "", politely));
  await report.check("in a worker, cross-origin isolated", () => withPage(context, { isolated: true }, "?threads=2", async (page) => {
    const result = await page.evaluate("inWorker()");
    right(result);
    assert.match(result.device, /2 threads/);
    return result.device;
  }));
  await report.check("in a page that is not isolated: one thread, and it says so", () => withPage(context, {}, "", async (page) => {
    const result = await page.evaluate("inPage()");
    right(result);
    assert.equal(result.isolated, false);
    assert.match(result.device, /1 thread\b/);
    return result.device;
  }));
  await report.check("threads in a page that is not isolated: a sentence names the headers", () => withPage(context, {}, "?threads=2", async (page) => {
    const message = await page.evaluate("inPage().then(() => 'it ran', (error) => error.message)");
    assert.match(message, /threads: [^]*Cross-Origin-Opener-Policy/);
    return message.split("\n")[0];
  }));
  await report.check("WebGPU", () => withPage(context, {}, "?kind=webgpu", async (page) => {
    const result = await page.evaluate("inPage()");
    assert.match(result.device, /^webgpu/);
    assert.ok(result.losses[2] < result.losses[0] && result.text.length > 0, `losses ${result.losses}, text ${result.text}`);
    return result.device;
  }));
  await report.check("in a worker, from its own storage (OPFS): a model quantized into it, pages for two frames of the CPU and of a GPU", async () => {
    for (const kind of ["wasm", "webgpu"]) {
      const result = await withPage(context, { isolated: true }, `?kind=${kind}`, (page) => page.evaluate("inWorker({ stored: true })"));
      const { loads, bytesUp, bytesDown, spilledBytes, bytesRead, frames, pages, peakHostBytes, frameBytes } = result.paging;
      const base = bytesUp - bytesDown;
      assert.match(result.device, new RegExp(`^${kind}`));
      assert.deepEqual(result.paged, result.whole, "paged and unpaged losses");
      assert.deepEqual([frames, loads, result.rank, result.stored], [2, pages + 5 * (pages - 2), 4, true]);
      assert.ok(bytesRead >= base && bytesRead <= base + frameBytes, "every page is read when it is needed, and one ahead");
      assert.ok(bytesDown > 0 && spilledBytes > 0, "inputs and states lie in storage");
      assert.ok(peakHostBytes <= 2 * frameBytes, `${peakHostBytes} bytes in host memory`);
    }
  });
  await report.check("a strict CSP: with wasm-unsafe-eval it runs, without it a sentence says why not", async () => {
    const csp = "default-src 'self'; worker-src 'self' blob:; script-src 'self'";
    await withPage(context, { csp: `${csp} 'wasm-unsafe-eval'` }, "", async (page) => right(await page.evaluate("inPage()")));
    return withPage(context, { csp }, "", async (page) => {
      const message = await page.evaluate("inPage().then(() => 'it ran', (error) => error.message)");
      assert.match(message, /wasm: the engine refused the kernels: .*unsafe-eval[^]*hint: /);
      return message.split("\n")[0].slice(0, 100);
    });
  });
}
