import { cp, mkdtemp, open, readFile, stat, truncate } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { adapterModules, attachForTraining } from "../src/commands/attach-adapter.ts";
import { loadModel } from "../src/commands/language-model.ts";
import { loadLlama } from "../src/commands/load-llama.ts";
import { openModel } from "../src/commands/open-model.ts";
import { quantize } from "../src/commands/quantize.ts";
import { train, type TrainCall, type TrainResult } from "../src/commands/train.ts";
import { planSteps } from "../src/data/step-plan.ts";
import { TRAIN_DEFAULTS } from "../src/commands/train-options.ts";
import { BatchPass } from "../src/nn/batch-pass.ts";
import { loadDataset } from "../src/data/dataset.ts";
import type { Device } from "../src/device.ts";
import { FormatError, MemoryError } from "../src/errors.ts";
import { openRunFolder } from "../src/io/node-run-folder.ts";
import { createSink, openSource } from "../src/io/node.ts";
import { nodeWorkers } from "../src/io/workers-node.ts";
import type { PagingOptions, PagingStats } from "../src/pager/pager.ts";
import { kernels } from "#kernels";
import { WasmDevice } from "../src/wasm/device.ts";
import { webGpuDevice } from "./support/devices.ts";
import { integers } from "./support/numbers.ts";

const LAYERS = 6; // of the demo model
const PAGE = 205_056; // bytes of one of them in NF4 with double quantization, tensors on multiples of 256
const SLICES = 8, SLICE = 256 * 192 * 4; // of its head, and their bytes
const PAGES = LAYERS + SLICES;

const folder = await mkdtemp(join(tmpdir(), "nibblelm-paging-"));
const MODEL = join(folder, "demo-nf4");
const lines = Array.from({ length: 8 }, (_, i) => JSON.stringify({ input_ids: [...integers(5 + ((i * 5) % 7), i + 1, 2048)] }));
const DATA = { name: "rows.jsonl", bytes: new TextEncoder().encode(lines.join("\n")) };
const STEPS = 2, MICRO_BATCHES = 2, BATCH = 2;
const HIDDEN = 192;
const STATES = LAYERS * 4 * (2 * (192 + 192) + 2 * (192 + 64) + 3 * (192 + 512)); // r 4: A and B of q, o, then k, v, then the MLP
const TOKENS = paddedTokens(); // of the whole run, padding counted
let runs = 0;

function paddedTokens(): number {
  const plan = planSteps({ rows: lines.length, batchSize: BATCH, accumulation: MICRO_BATCHES, epochs: 1, maxSteps: STEPS, seed: 7, shuffle: true });
  let tokens = 0;
  for (let step = 0; step < STEPS; step++) {
    const lengths = plan.rowsOf(step).map((row) => 5 + ((row * 5) % 7));
    for (let at = 0; at < lengths.length; at += BATCH) tokens += BATCH * Math.max(...lengths.slice(at, at + BATCH));
  }
  return tokens;
}

interface Run { readonly result: TrainResult; readonly adapter: Buffer; readonly losses: number[] }

async function run(device: Device, given: Partial<TrainCall> = {}): Promise<Run> {
  const path = join(folder, `run-${runs++}`);
  const losses: number[] = [];
  const result = await train({
    model: await openSource(MODEL), data: DATA, evalData: DATA, output: await openRunFolder(path), device, r: 4, loraAlpha: 8, loraDropout: 0.1, learningRate: 1e-3,
    perDeviceTrainBatchSize: BATCH, gradientAccumulationSteps: MICRO_BATCHES, maxSteps: STEPS, saveSteps: 1, maxLength: 16, seed: 7, onStep: ({ loss, gradNorm }) => losses.push(loss, gradNorm), ...given,
  });
  return { result, losses, adapter: await readFile(join(path, "adapter_model.safetensors")) };
}

function expectSame(got: Run, want: Run, what: string): void {
  assert.equal(got.losses, want.losses, what);
  assert.is(got.result.evalLoss, want.result.evalLoss, what);
  assert.ok(got.adapter.equals(want.adapter), `${what}: adapter bytes`);
}

/** Every sweep loads 2 (P − k) pages and the first P − k + P; every batch of the evaluation P − k or one more. */
function expectLoads(stats: PagingStats | undefined, frames: number, sweeps = STEPS): void {
  const missing = PAGES - frames;
  const training = frames + sweeps * 2 * missing;
  const evaluations = lines.length / BATCH;
  const { loads, bytesUp, ...rest } = stats!;
  assert.equal([rest.pages, rest.layers, rest.frames, rest.frameBytes, rest.peakFrameBytes, rest.bytesDown], [PAGES, LAYERS, frames, PAGE, frames * PAGE, 0]);
  assert.ok(loads >= training + evaluations * missing - missing && loads <= training + evaluations * (missing + 1), `${loads} loads with ${frames} frames`);
  assert.ok(bytesUp >= loads * SLICE && bytesUp <= loads * PAGE, `${bytesUp} bytes in ${loads} loads`);
  if (frames === PAGES) assert.equal([loads, bytesUp], [PAGES, LAYERS * PAGE + SLICES * SLICE]);
}

async function answer(device: Device, paging?: PagingOptions): Promise<{ ids: readonly number[]; loads: number; loss: number }> {
  const model = await loadModel({ model: await openSource(MODEL), device, paging });
  const answer = model.generate({ prompt: "Alice was beginning to get very tired", maxNewTokens: 8, temperature: 0 });
  let next = await answer.next();
  while (!next.done) next = await answer.next();
  const loads = model.paging?.loads ?? 0;
  const { loss } = await model.evaluate(loadDataset(DATA.bytes, { fileName: DATA.name, tokenizer: model.tokenizer, maxLength: 32, vocabSize: model.config.vocabSize }).rows);
  model.dispose();
  return { ids: next.value.ids, loads, loss };
}

const preparing = suite("paging: a model in 4 bits to page");
preparing("is written", async () => {
  await using device = await WasmDevice.create({ wasm: kernels });
  await quantize({ model: await openSource("src/demo"), output: await createSink(MODEL), device });
});
preparing.run();

/** The same on every device; with `brief` only what threads could change. */
function onDevice(name: string, make: (limit?: number) => Promise<Device>, counts: readonly number[], brief = false): void {
  const paging = suite(`paging on ${name}`);
  let first: Promise<{ whole: Run; peak: number }> | undefined;
  const unpaged = (): Promise<{ whole: Run; peak: number }> => first ??= (async () => {
    await using resident = await make();
    return { whole: await run(resident), peak: resident.memory.peak };
  })();

  paging("every number of frames trains to the same bits as no paging, with the fewest loads", async () => {
    const { whole } = await unpaged();
    assert.is(whole.result.paging, undefined);
    for (const frames of counts) {
      await using device = await make();
      const before = device.memory.buffers;
      const paged = await run(device, { paging: { frames } });
      expectSame(paged, whole, `${frames} frames`);
      expectLoads(paged.result.paging, frames);
      assert.is(device.memory.buffers, before, "all memory is given back");
    }
    await using device = await make();
    expectSame(await run(device, { paging: { frames: 2, hostMemory: 3 * PAGE }, gradientCheckpointing: true }), whole, "recomputed activations, little host memory");
  });
  paging("P4, P6: layers' inputs and AdamW's states on the host, in a file if need be, train to the same bits; the same goes down and up", async () => {
    const { whole } = await unpaged();
    for (const hostMemory of brief ? [undefined] : counts.length > 2 ? [undefined, 100_000] : [100_000]) {
      await using device = await make();
      const before = device.memory.buffers;
      const paged = await run(device, { activationOffloading: true, optim: "paged_adamw", paging: { frames: 2, hostMemory } });
      expectSame(paged, whole, `${hostMemory} bytes of host memory`);
      const { bytesUp, bytesDown, activationBytes, optimizerBytes, loads, spilledBytes } = paged.result.paging!;
      assert.is(bytesDown, activationBytes + optimizerBytes);
      const base = bytesUp - bytesDown; // pages of layers, and smaller ones of the head
      assert.ok(base > 0 && base <= loads * PAGE, `${base} bytes of the base in ${loads} loads`);
      assert.is(activationBytes, (LAYERS - 1) * 4 * HIDDEN * TOKENS); // all inputs but the top layer's
      assert.is(optimizerBytes, STEPS * 2 * 4 * STATES);
      assert.is(spilledBytes > 0, hostMemory !== undefined);
      assert.is(device.memory.buffers, before, "all memory is given back");
      if (hostMemory === undefined) continue;
      const states = (of: Run): Promise<Buffer> => readFile(join(of.result.outputDir, "checkpoint-1", "optimizer.safetensors"));
      assert.ok((await states(paged)).equals(await states(whole)), "a checkpoint has the states, wherever they are");
      const resumed = await run(device, { resume: await openSource(join(whole.result.outputDir, "checkpoint-1")), optim: "paged_adamw", paging: { hostMemory } });
      assert.ok(resumed.adapter.equals(whole.adapter), "a checkpoint goes on, wherever the states are");
    }
  });
  if (brief) return paging.run();

  if (name === "wasm") paging("a sweep without a single target goes up and down like any other", async () => {
    await using device = await make();
    const checkpoint = await openModel(await openSource(MODEL));
    const model = await loadLlama(device, checkpoint, { paging: { frames: 2, hostMemory: 0 } });
    const { r, loraAlpha, loraDropout, useRslora, targetModules, rankPattern, alphaPattern } = TRAIN_DEFAULTS;
    const parameters = attachForTraining(model, adapterModules(model, { r, loraAlpha, loraDropout, useRslora, targetModules, rankPattern, alphaPattern, baseModel: "" }), 0, 1);
    const pass = new BatchPass(model, { batch: 1, length: 4, microBatches: 1, rank: r, training: true, recompute: true, dropout: false });
    const batch = { batch: 1, length: 4, ids: Int32Array.of(1, 2, 3, 4), targets: new Int32Array(4).fill(-100) };
    await pass.train([batch], 1);
    assert.equal([...(await pass.losses([batch]))[0]], [0, 0, 0, 0]);
    assert.is(model.pager!.stats.loads, PAGES + PAGES - 2);
    for (const owner of [pass, parameters, model]) owner.dispose();
    await model.pager!.close();
    await checkpoint.close();
  });

  if (name === "wasm") paging("P8: four micro-batches that share a sweep move the bytes of one, and leave the bits of one after the other", async () => {
    const options = { gradientAccumulationSteps: 4, evalData: undefined, gradientCheckpointing: true };
    await using resident = await make();
    await using device = await make();
    const paged = await run(device, { ...options, paging: { frames: 4 } });
    expectSame(paged, await run(resident, options), "4 micro-batches");
    const { loads, microBatchesTogether } = paged.result.paging!;
    assert.equal([loads, microBatchesTogether], [4 + STEPS * 2 * (PAGES - 4), 4]);
  });

  paging("only the top layers trained", async () => {
    const top = { targetModules: "model\\.layers\\.[45]\\..*_proj" };
    await using resident = await make();
    await using device = await make();
    const paged = await run(device, { ...top, paging: { frames: 3 } });
    expectSame(paged, await run(resident, top), "top layers");
    assert.ok(paged.result.paging!.loads < 5 * PAGES * STEPS);
  });

  paging("every number of frames generates the same tokens and measures the same loss", async () => {
    await using resident = await make();
    const whole = await answer(resident);
    for (const frames of counts.filter((count) => count === 2 || count === 7)) {
      await using device = await make();
      const paged = await answer(device, { frames });
      assert.equal(paged.ids, whole.ids);
      assert.is(paged.loss, whole.loss);
      assert.ok(paged.loads <= PAGES + 7 * (PAGES - frames + 1), `${paged.loads} loads with ${frames} frames`);
    }
  });

  paging("a limit is kept by the byte; pages fill what it leaves, and the smallest that the error names works", async () => {
    const { whole, peak } = await unpaged();
    await using tight = await make(1_000_000);
    const message = await rejects(() => run(tight), MemoryError, /memory: limit for .*: expected at least \d+ bytes, got \d+\n {2}hint/);
    const smallest = Number(/at least (\d+)/.exec(message)![1]);
    // What the program takes of the same memory, and what it needs to save, is asked for on top.
    const shared = await rejects(() => run(tight, { paging: { program: () => 1_000_000 } }), MemoryError, /at least/);
    assert.is(Number(/at least (\d+)/.exec(shared)![1]), smallest + 1_000_000 + 9 * 4 * STATES);
    for (const frames of counts.filter((count) => count === 2 || count === 7)) {
      const limit = smallest + (frames - 2) * PAGE;
      await using device = await make(limit);
      const paged = await run(device, { activationOffloading: true, optim: "paged_adamw", paging: { hostMemory: 0 } });
      expectSame(paged, whole, `${limit} bytes`);
      assert.equal([paged.result.paging!.frames, paged.result.paging!.microBatchesTogether], [frames, 1]);
      assert.ok(device.memory.peak <= limit, `${device.memory.peak} of ${limit} bytes`);
    }
    // By itself a run pages no more than its limit asks for: the base, then recomputing, then inputs, then the optimizer.
    const ladder: number[] = [];
    for (const part of counts.length > 2 ? [0, 0.1, 0.3, 0.6, 2] : [0, 0.3]) {
      const limit = Math.ceil(smallest + part * (peak - smallest));
      await using device = await make(limit);
      const paged = await run(device, { onProgress: (event) => {
        if (event.phase === "ready") ladder.push(Number(event.recompute) + Number(event.arrangement.stacked) + Number(event.arrangement.pagedOptimizer));
      } });
      expectSame(paged, whole, `${limit} bytes`);
      assert.ok(device.memory.peak <= limit, `${device.memory.peak} of ${limit} bytes`);
      assert.is(paged.result.paging === undefined, part === 2);
    }
    assert.is(ladder[0], 3, String(ladder));
    assert.equal(ladder, [...ladder].sort().reverse());
    if (counts.length > 2) assert.is(ladder.at(-1), 0);
  });

  paging("a file that changes or becomes shorter stops the run, names the layer and leaves the last checkpoint", async () => {
    for (const [change, message] of [["byte", /layers\.\d: checksum of a page/], ["end", /became shorter/]] as const) {
      const model = join(folder, `changing-${runs}`);
      await cp(MODEL, model, { recursive: true });
      const file = join(model, "model.safetensors");
      const path = join(folder, `stopped-${runs++}`);
      await using device = await make();
      const before = device.memory.buffers;
      const spoil = async (): Promise<void> => {
        const { size } = await stat(file);
        if (change === "end") return truncate(file, 2 ** 20);
        const handle = await open(file, "r+");
        for (let at = 2 ** 20; at < size; at += 65536) await handle.write(Uint8Array.of(1, 2, 3, 4), 0, 4, at);
        await handle.close();
      };
      const steps = { output: await openRunFolder(path), model: await openSource(model), paging: { frames: 2, hostMemory: 0 } };
      let spoiled: Promise<void> | undefined;
      await rejects(() => run(device, { ...steps, onProgress: (event) => { if (event.phase === "saved") spoiled ??= spoil(); } }), FormatError, message);
      await spoiled;
      assert.ok((await readFile(join(path, "checkpoint-1", "adapter_model.safetensors"))).length > 0);
      await device.finish();
      assert.is(device.memory.buffers, before, "all memory is given back");
    }
  });

  paging.run();
}

onDevice("wasm", (limit) => WasmDevice.create({ wasm: kernels, ...(limit === undefined ? {} : { hostMemory: limit }) }), [2, 7, 14]);
onDevice("wasm, 3 threads", () => WasmDevice.create({ wasm: kernels, threads: 3, workers: nodeWorkers }), [3], true);
const gpu = await webGpuDevice();
if (gpu) onDevice(gpu.description, async (limit) => (await webGpuDevice(limit === undefined ? {} : { gpuMemory: limit }))!, [2]);

const made = suite("paging: a base that is quantized while it is loaded");
const dense = { model: await openSource("src/demo"), paging: { frames: 2 } };
made("has no file to read pages from: on the CPU the error says what to do", async () => {
  await using cpu = await WasmDevice.create({ wasm: kernels });
  await rejects(() => run(cpu, dense), MemoryError, /being quantized: .*\n {2}hint: write the 4-bit model once with `nibblelm quantize`/);
});
if (gpu) {
  made("on a GPU pages come from host memory, within its budget", async () => {
    await using device = (await webGpuDevice())!;
    await using resident = (await webGpuDevice())!;
    const paged = await run(device, dense);
    expectSame(paged, await run(resident, { model: dense.model }), "quantized while loading");
    assert.equal([paged.result.paging!.bytesRead, paged.result.paging!.peakHostBytes], [SLICES * SLICE, LAYERS * PAGE + SLICES * SLICE]);
    await rejects(() => run(device, { ...dense, paging: { frames: 2, hostMemory: 3 * PAGE } }), MemoryError, /host memory for layers that were quantized: expected at most 615168 bytes/);
  });
}
made.run();

async function rejects(work: () => Promise<unknown>, kind: new (...args: never[]) => Error, message: RegExp): Promise<string> {
  try {
    await work();
  } catch (error) {
    assert.instance(error, kind);
    assert.match((error as Error).message, message);
    return (error as Error).message;
  }
  return assert.unreachable(`no error like ${message}`) as never;
}
