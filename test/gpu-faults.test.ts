// A GPU that fails in the middle of a training run: what the caller hears, and that nothing wrong is saved.
import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { train, type TrainCall } from "../src/commands/train.ts";
import type { Device } from "../src/device.ts";
import { DeviceError, KernelError, MemoryError } from "../src/errors.ts";
import { memoryFolder } from "../src/io/memory.ts";
import type { RunFolder } from "../src/io/run-folder.ts";
import type { SourceFolder } from "../src/io/types.ts";
import { WebGpuDevice } from "../src/webgpu/device.ts";
import { testGpu, webGpuDevice } from "./support/devices.ts";
import { faultyAdapter, type GpuCounts, type GpuFaults } from "./support/faulty-gpu.ts";
import { integers } from "./support/numbers.ts";

const ROWS = Array.from({ length: 6 }, (_, i) => JSON.stringify({ input_ids: [...integers(12, i + 1, 259)] })).join("\n");
const STEPS = 6;

/** A run folder in memory. */
class Kept implements RunFolder {
  readonly name = "kept";
  readonly saved = new Map<string, SourceFolder>();
  async saveCheckpoint(step: number, files: ReadonlyMap<string, Uint8Array | string>): Promise<string> {
    this.saved.set(`checkpoint-${step}`, memoryFolder(`checkpoint-${step}`, files));
    return `checkpoint-${step}`;
  }
  async saveResult(files: ReadonlyMap<string, Uint8Array | string>): Promise<void> {
    this.saved.set("result", memoryFolder("result", files));
  }
}

interface Outcome { error: unknown; losses: number[]; output: Kept }

async function runOn(device: Device, { onEach, ...given }: Partial<TrainCall> & { onEach?: () => void } = {}): Promise<Outcome> {
  const outcome: Outcome = { error: undefined, losses: [], output: new Kept() };
  try {
    await train({
      model: MODEL, data: { name: "rows.jsonl", bytes: new TextEncoder().encode(ROWS) }, output: outcome.output, device,
      r: 2, learningRate: 1e-3, warmupSteps: 0, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1, maxSteps: STEPS, maxLength: 12, saveSteps: 2,
      onStep: ({ loss }) => { outcome.losses.push(loss); onEach?.(); }, ...given,
    });
  } catch (error) {
    outcome.error = error;
  }
  return outcome;
}

async function faulty(faults: GpuFaults): Promise<{ device: WebGpuDevice; counts: GpuCounts }> {
  const gpu = await testGpu();
  const { adapter, counts } = faultyAdapter((await gpu.requestAdapter())!, faults);
  return { device: await WebGpuDevice.create({ gpu, gpuAdapter: adapter }), counts };
}

/** Two layers that a step takes milliseconds for; any tokenizer will do for rows of ids. */
async function model(): Promise<SourceFolder> {
  const parts = [["test/golden/odd/model", "config.json"], ["test/golden/odd/model", "model.safetensors"], ["src/demo", "tokenizer.json"], ["src/demo", "tokenizer_config.json"]];
  return memoryFolder("odd", await Promise.all(parts.map(async ([folder, file]) => [file, new Uint8Array(await readFile(`${folder}/${file}`))] as const)));
}

const MODEL = await model();
const present = await webGpuDevice();
if (present) {
  await present.dispose();
  const here = suite("a GPU that fails while it trains");
  const { device, counts } = await faulty({});
  const short = await runOn(device);
  const { submits, buffers } = { ...counts };
  const steps: (GpuCounts & { live: number })[] = [];
  const whole = await runOn(device, { saveSteps: 0, maxSteps: 40, onEach: () => steps.push({ ...counts, live: device.memory.live }) });
  await device.dispose();

  here("nothing fails without a fault", () => {
    assert.is(whole.error, undefined);
    assert.is(whole.losses.length, 40);
    assert.equal([...short.output.saved.keys()], ["checkpoint-2", "checkpoint-4", "checkpoint-6", "result"]);
  });

  here("a step creates no buffer, submits a few times and maps its loss and norm", () => {
    // The first steps place the buffers for reading.
    const [early, late] = [steps[3], steps[38]]; // after the last one nothing is queued ahead
    assert.is(late.buffers, early.buffers);
    assert.is(late.live, early.live);
    assert.ok(late.submits - early.submits <= 35 * 5, `${(late.submits - early.submits) / 35} submits a step`);
    assert.is(late.maps - early.maps, 35 * 2);
  });

  here("lost at any submit: a DeviceError, and a new device goes on from the last checkpoint with the same losses", async () => {
    const resumedFrom = new Set<string>();
    for (let at = 1; at < submits; at += Math.ceil(submits / 20)) {
      const { device: lost } = await faulty({ loseAtSubmit: at });
      const { error, losses, output } = await runOn(lost);
      await lost.dispose();
      if (output.saved.has("result")) break; // the run needs no more submits than that
      assert.instance(error, DeviceError, `submit ${at}: ${error}`);
      assert.equal(losses, short.losses.slice(0, losses.length), `submit ${at}`);
      const last = [...output.saved.keys()].at(-1);
      if (last === undefined || resumedFrom.has(last)) continue;
      resumedFrom.add(last);
      const fresh = (await webGpuDevice())!;
      const rest = await runOn(fresh, { resume: output.saved.get(last) });
      await fresh.dispose();
      assert.is(rest.error, undefined);
      assert.equal(rest.losses, short.losses.slice(Number(last.split("-")[1])));
    }
    for (const name of ["checkpoint-2", "checkpoint-4"]) assert.ok(resumedFrom.has(name), `${name} of ${[...resumedFrom]}`);
  });

  here("out of memory in any createBuffer: a MemoryError, and nothing is saved", async () => {
    for (let at = 1; at <= buffers; at += 1 + Math.floor(at / 4)) {
      const { device: full } = await faulty({ failBuffer: at }).catch((error: unknown) => ({ device: error as Error }));
      const error = full instanceof Error ? full : (await runOn(full)).error;
      if (full instanceof WebGpuDevice) await full.dispose();
      assert.instance(error, MemoryError, `buffer ${at}: ${error}`);
    }
  });

  here("a device that takes commands and does nothing: a KernelError, and nothing is saved", async () => {
    for (const at of [1, 20, Math.floor(submits / 4)]) {
      const { device: idle } = await faulty({ dropFromSubmit: at });
      const { error, output } = await runOn(idle);
      await idle.dispose();
      assert.instance(error, KernelError, `submit ${at}: ${error}`);
      assert.not(output.saved.has("result"));
    }
  });
  here.run();
}
