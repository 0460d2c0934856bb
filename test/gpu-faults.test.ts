// A GPU that fails in the middle of a training run: it is replaced and the run goes on to the same bits, or the caller
// hears why not; and nothing wrong is saved.
import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { loadModel } from "../src/commands/language-model.ts";
import { train, type TrainCall, type TrainProgress, type TrainResult } from "../src/commands/train.ts";
import type { Device } from "../src/device.ts";
import { DeviceError, KernelError, MemoryError } from "../src/errors.ts";
import { memoryFolder } from "../src/io/memory.ts";
import type { RunFolder } from "../src/io/run-folder.ts";
import type { SourceFolder } from "../src/io/types.ts";
import { WebGpuDevice } from "../src/webgpu/device.ts";
import { testGpu, webGpuDevice } from "./support/devices.ts";
import { faultyGpu, type GpuCounts, type GpuFaults } from "./support/faulty-gpu.ts";
import { integers } from "./support/numbers.ts";

const ROWS = Array.from({ length: 6 }, (_, i) => JSON.stringify({ input_ids: [...integers(12, i + 1, 259)] })).join("\n");
const STEPS = 6;
/** Faults at every so many calls: 1 for all of them; by default at a few. */
const every = (calls: number, few: number): number => Number(process.env["GPU_FAULTS"] ?? Math.ceil(calls / few));

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

type Event = Extract<TrainProgress, { phase: "recovered" }>;
interface Outcome { error: unknown; result: TrainResult | undefined; losses: number[]; output: Kept; recovered: Event[] }

async function runOn(device: Device, { onEach, ...given }: Partial<TrainCall> & { onEach?: () => void } = {}): Promise<Outcome> {
  const outcome: Outcome = { error: undefined, result: undefined, losses: [], output: new Kept(), recovered: [] };
  const data = { name: "rows.jsonl", bytes: new TextEncoder().encode(ROWS) };
  try {
    outcome.result = await train({
      model: MODEL, data, evalData: data, output: outcome.output, device,
      r: 2, learningRate: 1e-3, warmupSteps: 0, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 1, maxSteps: STEPS, maxLength: 12, saveSteps: 2,
      onStep: ({ loss }) => { outcome.losses.push(loss); onEach?.(); }, onProgress: (event) => { if (event.phase === "recovered") outcome.recovered.push(event); }, ...given,
    });
  } catch (error) {
    outcome.error = error;
  }
  return outcome;
}

async function faulty(faults: GpuFaults): Promise<{ device: WebGpuDevice; counts: GpuCounts }> {
  const { gpu, counts } = faultyGpu(await testGpu(), faults);
  return { device: await WebGpuDevice.create({ gpu }), counts };
}

async function bytesIn(folder: SourceFolder, file: string): Promise<Uint8Array> {
  const source = await folder.open(file);
  return source.read(0, source.size);
}

/** The same losses, each told once, and the same bytes. */
async function expectSame(got: Outcome, want: Outcome, what: string): Promise<void> {
  assert.is(got.error, undefined, `${what}: ${got.error}`);
  assert.equal(got.losses, want.losses, what);
  assert.is(got.result!.evalLoss, want.result!.evalLoss, what);
  assert.equal([...got.output.saved.keys()], [...want.output.saved.keys()], what);
  for (const [name, folder] of want.output.saved) {
    for (const file of await folder.list()) assert.ok(Buffer.compare(await bytesIn(got.output.saved.get(name)!, file), await bytesIn(folder, file)) === 0, `${what}: ${name}/${file}`);
  }
}

/** Any tokenizer will do for rows of ids. */
async function modelOf(folder: string): Promise<SourceFolder> {
  const parts = [[folder, "config.json"], [folder, "model.safetensors"], ["src/demo", "tokenizer.json"], ["src/demo", "tokenizer_config.json"]];
  return memoryFolder("model", await Promise.all(parts.map(async ([path, file]) => [file, new Uint8Array(await readFile(`${path}/${file}`))] as const)));
}

const MODEL = await modelOf("test/golden/odd/model-nf4-dq"); // two layers that a step takes milliseconds for
const ADAPTER = memoryFolder("adapter", await Promise.all(["adapter_config.json", "adapter_model.safetensors"].map(async (file) => [file, new Uint8Array(await readFile(`test/golden/tiny/qlora-nf4dq-final/${file}`))] as const)));
const SIX_LAYERS = await modelOf("test/golden/tiny/model-nf4-dq");
const present = await webGpuDevice();
if (present) {
  await present.dispose();
  const here = suite("a GPU that fails while it trains");
  const { device, counts } = await faulty({});
  const short = await runOn(device);
  const { submits } = { ...counts };
  const steps: (GpuCounts & { live: number })[] = [];
  const whole = await runOn(device, { saveSteps: 0, maxSteps: 25, onEach: () => steps.push({ ...counts, live: device.memory.live }) });
  await device.dispose();

  here("nothing fails without a fault", () => {
    assert.is(whole.error, undefined);
    assert.is(whole.losses.length, 25);
    assert.equal([...short.output.saved.keys()], ["checkpoint-2", "checkpoint-4", "checkpoint-6", "result"]);
  });

  here("a step creates no buffer, submits a few times and maps its loss and norm; every tenth the adapter and its moments", () => {
    // The first steps place the buffers for reading.
    const [early, late] = [steps[3], steps[23]]; // after the last one nothing is queued ahead
    assert.is(late.buffers, early.buffers);
    assert.is(late.live, early.live);
    assert.ok(late.submits - early.submits <= 20 * 5, `${(late.submits - early.submits) / 20} submits a step`);
    assert.is(late.maps - early.maps, 20 * 2 + 2 * 3);
  });

  here("lost at any submit: a new device goes on with the same losses, checkpoints and result", async () => {
    for (let at = 1; at <= submits; at += every(submits, 6)) {
      const { device: lost, counts: seen } = await faulty({ loseAtSubmit: at });
      const outcome = await runOn(lost);
      await expectSame(outcome, short, `submit ${at}`);
      assert.equal([seen.devices, outcome.recovered.map(({ reason }) => reason)], [2, ["lost"]], `submit ${at}`);
      assert.is(lost.memory.buffers, 0);
      await lost.dispose();
    }
  });

  here("lost again and again: it goes on while it gets further, from the last of ten steps", async () => {
    const { device: lost } = await faulty({ loseEverySubmits: submits + 10 });
    const outcome = await runOn(lost, { saveSteps: 0, maxSteps: 25 });
    await lost.dispose();
    await expectSame(outcome, whole, "25 steps");
    assert.ok(outcome.recovered.length >= 2, `${outcome.recovered.length} times`);
    assert.ok(outcome.recovered.every(({ step }) => step % 10 === 0));
  });

  here("lost before it gets anywhere: a DeviceError after the second time", async () => {
    const { device: lost, counts: seen } = await faulty({ loseEverySubmits: 5 });
    const { error, losses } = await runOn(lost);
    await lost.dispose();
    assert.instance(error, DeviceError);
    assert.match((error as Error).message, /^webgpu: the device was lost again at once: got .*\n {2}hint: use a smaller batch/);
    assert.equal([losses, seen.devices], [[], 2]);
  });

  here("lost with no other adapter, or another one, in its place: a DeviceError, and the last checkpoint goes on elsewhere", async () => {
    for (const [name, got] of [[undefined, "webgpu: no GPU adapter"], ["another", "another"]] as const) {
      let asked = 0;
      const { gpu: once } = faultyGpu(await testGpu(), { loseAtSubmit: submits - 15 });
      const lost = await WebGpuDevice.create({ gpu: { requestAdapter: async () => (asked++ ? name && { info: { description: name }, features: new Set(), limits: {} } : once.requestAdapter()) } as unknown as GPU });
      const { error, losses, output } = await runOn(lost);
      await lost.dispose();
      assert.instance(error, DeviceError);
      assert.match((error as Error).message, new RegExp(`no adapter in place of the lost one: expected .*, got ${got}.*\n {2}hint: go on from the last checkpoint`));
      assert.is(asked, 4);
      assert.equal(losses, short.losses.slice(0, losses.length));
      const last = [...output.saved.keys()].at(-1)!;
      if (name) continue;
      const fresh = (await webGpuDevice())!;
      const rest = await runOn(fresh, { resume: output.saved.get(last) });
      await fresh.dispose();
      assert.equal(rest.losses, short.losses.slice(Number(last.split("-")[1])));
    }
  });

  here("disposed of in the middle: an error, and no other device", async () => {
    const { device: ended, counts: seen } = await faulty({});
    const { error, recovered } = await runOn(ended, { onEach: () => void ended.dispose() });
    assert.instance(error, DeviceError);
    assert.equal([seen.devices, recovered], [1, []]);
  });

  here("out of memory in any createBuffer: fewer frames, and the same losses", async () => {
    const given = { model: SIX_LAYERS, maxSteps: 2, saveSteps: 0, evalData: undefined };
    const { device: enough, counts: seen } = await faulty({});
    const want = await runOn(enough, given);
    await enough.dispose();
    for (let at = 3; at <= seen.buffers; at += every(seen.buffers, 2)) {
      const { device: full } = await faulty({ failBuffer: at });
      const outcome = await runOn(full, given);
      await expectSame(outcome, want, `buffer ${at}`);
      assert.equal(outcome.recovered.map(({ reason, frames }) => [reason, frames]), [["memory", 4]], `buffer ${at}`);
      assert.is(outcome.result!.paging!.frames, 4);
      await full.dispose();
    }
  });

  here("out of memory in every createBuffer from one on: a MemoryError, and nothing is saved", async () => {
    for (const at of [1, 2, 100]) {
      const { device: full } = await faulty({ failBuffer: at, failAllBuffers: true }).catch((error: unknown) => ({ device: error as Error }));
      const error = full instanceof Error ? full : (await runOn(full, { model: SIX_LAYERS })).error;
      if (full instanceof WebGpuDevice) await full.dispose();
      assert.instance(error, MemoryError, `buffer ${at}: ${error}`);
    }
  });

  here("lost or out of memory while it generates and measures: the same tokens and the same loss", async () => {
    const rows = Array.from({ length: 2 }, (_, i) => ({ inputIds: integers(12, i + 1, 259), labels: integers(12, i + 1, 259) }));
    const answer = async (faults: GpuFaults): Promise<{ text: string[]; loss: number; reasons: string[]; counts: GpuCounts }> => {
      const { device: used, counts: seen } = await faulty(faults);
      const reasons: string[] = [];
      const model = await loadModel({ model: SIX_LAYERS, device: used, onRecovered: ({ reason }) => reasons.push(reason) });
      const adapter = await model.loadAdapter(ADAPTER);
      const text: string[] = [];
      for await (const piece of model.generate({ prompt: "Alice was", maxNewTokens: 4, temperature: 1, seed: 3, adapters: [{ adapter }] })) text.push(piece);
      const { loss } = await model.evaluate(rows, { adapters: [{ adapter }] });
      model.dispose();
      adapter.dispose();
      assert.is(used.memory.buffers, 0);
      await used.dispose();
      return { text, loss, reasons, counts: seen };
    };
    const want = await answer({});
    const { submits: all, buffers } = want.counts;
    const faults: GpuFaults[] = [{ failBuffer: buffers - 2 }];
    for (let at = 1; at <= all; at += every(all, 2)) faults.push({ loseAtSubmit: at });
    for (const fault of faults) {
      const { text, loss, reasons } = await answer(fault);
      assert.equal([text, loss, reasons], [want.text, want.loss, [fault.failBuffer ? "memory" : "lost"]], JSON.stringify(fault));
    }
  });

  here("bindings smaller than the adapter, its states and activations: the same losses and bytes", async () => {
    const lines = Array.from({ length: 7 }, (_, i) => JSON.stringify({ input_ids: [...integers(64, i + 1, 259)] })); // 448 rows of 160 values, 180,000 parameters
    const given = { data: { name: "rows.jsonl", bytes: new TextEncoder().encode(lines.join("\n")) }, evalData: undefined, r: 64, perDeviceTrainBatchSize: 7, maxLength: 64, maxSteps: 2, saveSteps: 2 };
    const { device: enough } = await faulty({});
    const want = await runOn(enough, given);
    await enough.dispose();
    const { device: narrow } = await faulty({ bindingSize: 2 ** 18 });
    await expectSame(await runOn(narrow, given), want, "256 KiB");
    await narrow.dispose();
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
