// Memory budgets: what does not fit is paged, on the CPU from the browser's storage, on a GPU from host memory.
import assert from "node:assert/strict";
import { chooseShort, fill, launch, saw, says, trainToTheEnd } from "./harness.mjs";

export async function budgets(suite) {
  await suite.test("a budget of the CPU: too small is said, enough pages from the browser's storage, with the same losses", async (context) => {
    const page = await suite.open(context);
    await chooseShort(page, { length: 64 });
    await trainToTheEnd(page);
    const losses = await page.getAttribute("#chart", "aria-label");
    await fill(page, { megabytes: 1 });
    await page.click("#start");
    let message = await saw(page);
    // Loading the model and training ask for one after the other.
    for (let tries = 0; tries < 3 && message; tries++) {
      const [, least] = /expected at least (\S+) MB, got/.exec(message) ?? assert.fail(message);
      await fill(page, { megabytes: Number(least) + 0.1 });
      await page.click("#start");
      message = await saw(page);
    }
    assert.equal(message, "");
    assert.equal(await page.getAttribute("#chart", "aria-label"), losses);
    const [, resident, pages] = /Layers resident(\d) of (\d)/.exec(await page.textContent("#meters"));
    assert.ok(Number(resident) < Number(pages), `${resident} of ${pages} layers`);
    await says(page, "meters", /Paged in[\d.]+ MB, [\d.]+ MB from storage/);
  });

  const gpu = await launch(["--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan"]);
  await suite.test("a GPU with a budget trains with paged layers", async (context) => {
    const page = await suite.open(context);
    assert.match(await page.textContent("#machine"), /GPU: .*swiftshader, which computes on the CPU/i);
    await chooseShort(page, { steps: 3, megabytes: 9 });
    await page.selectOption("[name=device]", "webgpu");
    assert.equal(await page.textContent("#budget-of"), "GPU budget in MB");
    await page.click("#start");
    await says(page, "bar-text", /^Step [23] of 3/);
    await says(page, "meters", /Memory[\d.]+ MB of 9\.00 MBLayers resident[1-5] of 6Paged in[\d.]+ MB/);
  }, { browser: gpu });
  await gpu.close();
}
