import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { pagingLine, pagingObject } from "../src/cli/paging-report.ts";
import { readValue } from "../src/cli/values.ts";
import { ShapeError } from "../src/errors.ts";
import { Page } from "../src/pager/page.ts";
import { Pager } from "../src/pager/pager.ts";
import { Plan } from "../src/pager/plan.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { webGpuDevice } from "./support/devices.ts";
import { CountingDevice } from "./support/counting-device.ts";

const flags = suite("memory flags");

flags("bytes are numbers with or without a unit", () => {
  const read = (text: string): unknown => readValue("train", "gpu-memory", "bytes", text);
  for (const [text, bytes] of [["64MB", 64e6], ["64mb", 64e6], ["1.5GiB", 1.5 * 2 ** 30], ["1.5 G", 1.5e9], ["512Ki", 2 ** 19], ["100", 100], ["100B", 100]] as const) assert.is(read(text), bytes, text);
  for (const text of ["0", "0MB", "-1", "NaN", "", "MB", "5XB", "1e9", "Infinity", "0.1"]) assert.throws(() => read(text), /--gpu-memory: expected bytes above 0, such as 64MB/, text);
});

flags("budgets that are none are refused by the devices", async () => {
  for (const budget of [0, -1, NaN]) {
    for (const make of [() => WasmDevice.create({ wasm: kernels, hostMemory: budget }), () => webGpuDevice({ gpuMemory: budget })]) {
      let error: unknown;
      await make().catch((thrown: unknown) => { error = thrown; });
      assert.instance(error, ShapeError);
      assert.match((error as Error).message, /(hostMemory|gpuMemory): budget: expected bytes above 0, got/);
    }
  }
});

flags("the live line and the counters", async () => {
  const device = new CountingDevice("webgpu", 64e6);
  const pages = Array.from({ length: 30 }, (_, i) => new Page(`page ${i}`, [{ dtype: "u8", elements: 1024000, label: "part", read: () => undefined }]));
  const pager = new Pager(device, pages, { frames: 12 });
  const plan = new Plan(pages.map((_, i) => i));
  await pager.begin(plan);
  for (const page of plan.uses) await pager.use(page);
  assert.is(pagingLine(pager.stats, 66e6), "gpu 12.3 MB of 64.0 MB · 12 of 30 layers resident · 66.0 MB/step paged");
  assert.equal(pagingObject(pager.stats)!["loads"], 30);
  assert.is(pagingObject(undefined), null);
});

flags.run();
