// Hosts and browsers that lack something: headers, shared memory, workers, SIMD, storage.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { chooseShort, launch, root, saw, says, serveStatic, trainToTheEnd } from "./harness.mjs";

const ISOLATED = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
const CSP = "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src data:; connect-src 'self'";

export async function hosts(suite) {
  const plain = await serveStatic();
  await suite.test("a host without headers: the service worker isolates the page", async (context) => {
    const page = await suite.open(context, plain.url);
    await page.waitForFunction(() => crossOriginIsolated);
    assert.doesNotMatch(await page.textContent("#machine"), /not cross-origin isolated/);
  });

  await suite.test("without shared memory it trains on one thread and says so", async (context) => {
    const page = await suite.open(context, plain.url);
    assert.equal(await page.evaluate(() => typeof SharedArrayBuffer), "undefined");
    assert.match(await page.textContent("#machine"), /1 thread.*not cross-origin isolated.*GPU: none that pages may use/);
    assert.ok(await page.isDisabled("[name=device] [value=webgpu]"), "a GPU that is not there cannot be chosen");
    await chooseShort(page);
    await trainToTheEnd(page);
  }, { serviceWorkers: "block" });
  await plain.close();

  for (const [workers, threads] of [["'self' blob:", "3 threads"], ["'self'", "1 thread"]]) {
    const strict = await serveStatic({ ...ISOLATED, "Content-Security-Policy": `${CSP}; worker-src ${workers}` });
    await suite.test(`a strict policy, worker-src ${workers}: ${threads} on four cores`, async (context) => {
      await pretendCores(context, 4);
      const page = await suite.open(context, strict.url);
      assert.match(await page.textContent("#machine"), new RegExp(threads));
      await chooseShort(page);
      await trainToTheEnd(page);
    }, { serviceWorkers: "block" });
    await strict.close();
  }

  // V8's WebAssembly has SIMD only where the processor has SSE 4.1.
  const old = await launch(["--js-flags=--no-enable-sse4-1"]);
  await suite.test("without SIMD a sentence says what is needed", async (context) => {
    const page = await suite.open(context);
    assert.match(await page.textContent("#machine"), /cannot compute here/);
    assert.match(await saw(page), /WebAssembly with SIMD.*a browser of 2023 or newer/s);
    await page.click("#model-demo");
    assert.match(await saw(page), /WebAssembly with SIMD/, "and again, when it is tried");
  }, { browser: old });
  await old.close();

  await suite.test("storage that is full, for a model or in the middle of a run: it is said, and the page goes on", async (context) => {
    const page = await suite.open(context);
    const session = await context.newCDPSession(page);
    const quota = (quotaSize) => session.send("Storage.overrideQuotaForOrigin", { origin: new URL(suite.served.url).origin, ...(quotaSize ? { quotaSize } : {}) });
    await quota(400_000);
    await page.click("#model-demo");
    assert.match(await saw(page), /storage is full/);
    await quota();
    await chooseShort(page, { steps: 24 });
    await page.click("#start");
    await says(page, "bar-text", /^Step 1[1-9] of/);
    await quota(1); // the checkpoint of step 20 finds no room; that of step 10 is there
    assert.match(await saw(page), /storage is full.*what was saved before is untouched/s);
    assert.match(await page.textContent("#start"), /Go on from step 10/);
    await quota();
    await trainToTheEnd(page);
  });
}

/** In the worker that computes, whose globals no script of a test reaches otherwise. */
async function pretendCores(context, cores) {
  const script = await readFile(join(root, "dist/playground/worker.js"), "utf8");
  const body = `Object.defineProperty(navigator, "hardwareConcurrency", { value: ${cores} });\n${script}`;
  await context.route("**/worker.js", async (route) => route.fulfill({ response: await route.fetch(), body }));
}
