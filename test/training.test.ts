import { kernels } from "#kernels";
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { train, type TrainCall, type TrainResult } from "../src/commands/train.ts";
import { countTargets } from "../src/data/collate.ts";
import type { Device } from "../src/device.ts";
import { KernelError } from "../src/errors.ts";
import { openRunFolder } from "../src/io/node-run-folder.ts";
import { openSource } from "../src/io/node.ts";
import { nodeWorkers } from "../src/io/workers-node.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { refuseZeroLoss } from "../src/optim/computed.ts";
import { integers, relativeNorm } from "./support/numbers.ts";

const device = await WasmDevice.create({ wasm: kernels });
const folder = await mkdtemp(join(tmpdir(), "nibblelm-training-"));
let runs = 0;

/** Rows of different lengths, some with a part that is not scored. */
function rows(count: number): string {
  return Array.from({ length: count }, (_, i) => {
    const ids = [...integers(9 + ((i * 5) % 14), i + 1, 2048)];
    return JSON.stringify(i % 3 ? { input_ids: ids } : { input_ids: ids, labels: ids.map((id, t) => (t < 4 ? -100 : id)) });
  }).join("\n");
}

const DATA = { name: "rows.jsonl", bytes: new TextEncoder().encode(rows(20)) };

async function run(given: Partial<TrainCall> = {}, on: Device = device): Promise<{ path: string; result: TrainResult; adapter: Buffer; losses: number[] }> {
  const path = given.output?.name ?? join(folder, `run-${runs++}`);
  const losses: number[] = [];
  const result = await train({
    model: await openSource("src/demo"), data: DATA, output: await openRunFolder(path), device: on, r: 4, loraAlpha: 8, learningRate: 1e-3,
    perDeviceTrainBatchSize: 2, gradientAccumulationSteps: 2, maxSteps: 4, maxLength: 32, seed: 7, onStep: ({ loss }) => losses.push(loss), ...given,
  });
  return { path, result, losses, adapter: result.interrupted ? Buffer.alloc(0) : await readFile(join(path, "adapter_model.safetensors")) };
}

const floats = (file: Buffer): Float32Array => {
  const data = file.subarray(8 + Number(file.readBigUInt64LE(0)));
  return new Float32Array(data.buffer.slice(data.byteOffset, data.byteOffset + data.length));
};

const training = suite("training");
const base = await run();

training("the same seed gives the same bytes", async () => {
  assert.ok(base.adapter.equals((await run()).adapter));
});

training("another seed gives others", async () => {
  assert.not.ok(base.adapter.equals((await run({ seed: 8 })).adapter));
});

training("a step tells the processor time since the one before, where somebody has a clock", async () => {
  let clock = 0;
  const told: (number | undefined)[] = [];
  await run({ cpuSeconds: () => clock++, onStep: ({ cpuSeconds }) => told.push(cpuSeconds) });
  await run({ maxSteps: 1, onStep: ({ cpuSeconds }) => told.push(cpuSeconds) });
  assert.equal(told, [1, 1, 1, 1, undefined]);
});

training("recomputing activations gives the same bytes", async () => {
  assert.ok(base.adapter.equals((await run({ gradientCheckpointing: true })).adapter));
});

training("the number of threads does not change a byte", async () => {
  for (const threads of [2, 5]) {
    const pool = await WasmDevice.create({ wasm: kernels, threads, workers: nodeWorkers });
    assert.ok(base.adapter.equals((await run({}, pool)).adapter), `${threads} threads`);
    await pool.dispose();
  }
});

training("any split into micro-batches gives the same gradients to rounding", async () => {
  for (const [batch, accumulation] of [[4, 1], [1, 4], [3, 2]]) {
    if (batch * accumulation !== 4) continue;
    const split = await run({ perDeviceTrainBatchSize: batch, gradientAccumulationSteps: accumulation, maxSteps: 1 });
    const whole = await run({ maxSteps: 1 });
    assert.ok(Math.abs(split.losses[0] / whole.losses[0] - 1) < 1e-6, `losses ${split.losses[0]} and ${whole.losses[0]}`);
    assert.ok(relativeNorm(floats(split.adapter), floats(whole.adapter)) < 1e-6);
  }
});

for (const dropout of [0, 0.25]) {
  training(`stopping at any step and resuming gives the bytes of the uninterrupted run, dropout ${dropout}`, async () => {
    const whole = await run({ loraDropout: dropout, saveSteps: 1 });
    for (const step of [1, 3]) {
      const resumed = await run({ loraDropout: dropout, resume: await openSource(join(whole.path, `checkpoint-${step}`)) });
      assert.ok(whole.adapter.equals(resumed.adapter), `resumed at step ${step}`);
      assert.equal(resumed.losses, whole.losses.slice(step));
    }
  });
}

training("dropout draws the same masks however the step is split", async () => {
  // The first step has B = 0, so masks show from the second loss on.
  const two = { maxSteps: 2, warmupSteps: 0 };
  const plain = await run(two);
  const a = await run({ ...two, loraDropout: 0.25 });
  const b = await run({ ...two, loraDropout: 0.25, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 1 });
  assert.ok(Math.abs(a.losses[1] / b.losses[1] - 1) < 1e-6, `${a.losses[1]} and ${b.losses[1]}`);
  assert.is.not(a.losses[1], plain.losses[1]);
});

training("resuming with other options is refused and names the one", async () => {
  const whole = await run({ saveSteps: 2 });
  const resume = await openSource(join(whole.path, "checkpoint-2"));
  await rejects(() => run({ resume, learningRate: 2e-3 }), /learningRate differs/);
  await rejects(() => run({ resume, data: { ...DATA, bytes: new TextEncoder().encode(rows(19)) } }), /the data differs/);
});

training("a signal stops after the step with a checkpoint that resumes to the same bytes", async () => {
  const stop = new AbortController();
  const half = await run({ signal: stop.signal, onStep: ({ step }) => { if (step === 2) stop.abort(); } });
  assert.is(half.result.interrupted, join(half.path, "checkpoint-2"));
  const resumed = await run({ resume: await openSource(half.result.interrupted!) });
  assert.ok(base.adapter.equals(resumed.adapter));
});

training("B starts at zero, so the first loss is the base's, and dA of the first step is exactly zero", async () => {
  const none = await run({ maxSteps: 1, learningRate: 0 });
  assert.is(none.losses[0], base.losses[0]);
});

training("a step allocates nothing", async () => {
  const counts: number[] = [];
  await run({ onStep: () => counts.push(device.memory.buffers) });
  assert.is(new Set(counts).size, 1);
});

training("nothing is left allocated, also after an error", async () => {
  const before = device.memory.buffers;
  await run({ maxSteps: 1 });
  await rejects(() => run({ learningRate: 1e30, maxSteps: 3 }), /diverged/);
  assert.is(device.memory.buffers, before);
});

/** A device whose ops stop doing anything, as those of a lost GPU do, from the `from`th call of `op` on. */
function idleFrom(op: string, from: number): Device {
  let calls = 0;
  return new Proxy(device, {
    get: (target, name) => {
      const value = Reflect.get(target, name, target) as unknown;
      if (typeof value !== "function") return value;
      if (name !== "run") return value.bind(target);
      return (...call: Parameters<Device["run"]>) => { if (call[0].name === op) calls++; if (calls < from) target.run(...call); };
    },
  });
}

training("nothing is saved from a device that did not compute", async () => {
  assert.throws(() => refuseZeroLoss("train: step 1", 0, 5), (error: unknown) => error instanceof KernelError);
  refuseZeroLoss("train: step 1", 0, 0);
  await rejects(() => run({ warmupSteps: 0 }, idleFrom("adamw", 1)), /train: step 1: the device did not compute: expected a B that moves with its gradient/);
  const path = join(folder, "idle");
  await rejects(async () => run({ output: await openRunFolder(path), saveSteps: 2, warmupSteps: 0 }, idleFrom("adamw", 3)), /train: step 4: the device did not compute/);
  assert.equal((await readdir(path)).filter((name) => !name.startsWith(".")), ["checkpoint-2"]);
});

training("bad options are refused before the model is read", async () => {
  await rejects(() => run({ r: 0 }), /train: r: expected a whole number of at least 1, got 0/);
  await rejects(() => run({ learningRate: -1 }), /learningRate/);
  await rejects(() => run({ loraDropout: 1 }), /loraDropout/);
  await rejects(() => run({ targetModules: ["nothing_proj"] }), /nothing_proj/);
});

training("the number of target tokens leaves out first tokens and ignored labels", () => {
  const inputIds = Int32Array.of(1, 2, 3, 4);
  assert.is(countTargets([{ inputIds, labels: inputIds }, { inputIds, labels: Int32Array.of(1, -100, 3, -100) }]), 4);
});

training.after(() => rm(folder, { recursive: true }));
training.run();

async function rejects(work: () => Promise<unknown>, message: RegExp): Promise<void> {
  try {
    await work();
  } catch (error) {
    return void assert.match((error as Error).message, message);
  }
  assert.unreachable(`no error like ${message}`);
}
