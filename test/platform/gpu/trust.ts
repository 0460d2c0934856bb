import { train } from "../../../src/commands/train.ts";
import { readSafetensors } from "../../../src/format/safetensors.ts";
import { memoryFolder } from "../../../src/io/memory.ts";
import type { SourceFolder } from "../../../src/io/types.ts";
import type { Op } from "../../../src/op.ts";
import { WebGpuDevice } from "../../../src/webgpu/device.ts";
import { opTests } from "../../ops/index.ts";
import { disagreement } from "../../support/agreement.ts";
import { faultyGpu } from "../../support/faulty-gpu.ts";
import { integers } from "../../support/numbers.ts";
import { runOp, sameBits } from "../../support/run-op.ts";
import { agreementOn, varies, variantDevices } from "../../support/variants.ts";

/** What a runtime lends to the program. */
export interface Host {
  readonly gpu: GPU;
  /** A file of the repository. */
  read(path: string): Promise<Uint8Array<ArrayBuffer>>;
  say(line: string): void;
  /** Optimizer steps of the golden curve. */
  readonly steps: number;
}

export interface Outcome { readonly passed: number; readonly failed: number }

/** Largest relative difference between a loss and PEFT's. */
const BOUND = 1e-3;

/** Every op against the plain reference on this runtime's GPU; then the demo model trained through the library, beside PEFT's curve. */
export async function trust(host: Host): Promise<Outcome> {
  const device = await WebGpuDevice.create({ gpu: host.gpu, ops: opTests.map(({ op }) => op as Op) });
  host.say(device.description);
  let passed = 0;
  const failures: string[] = [];
  const settle = (name: string, problem: string | undefined): void => {
    if (problem === undefined) passed++;
    else failures.push(`${name}${problem}`);
  };
  for (const one of [device, ...(await variantDevices(host.gpu, host.say))]) {
    const before = passed;
    await checkOps(one, settle);
    host.say(`ops, ${one.build} kernels: ${passed - before} passed, ${failures.length} failed`);
    if (one !== device) await one.dispose();
  }
  await checkCurve(device, host, settle);
  await checkLongRun(device, host, settle);
  await checkLoss(host, settle);
  const { buffers } = device.memory;
  settle("live buffers at the end", buffers === 0 ? undefined : `: expected 0, got ${buffers}`);
  await device.dispose();
  for (const failure of failures) host.say(`FAIL ${failure}`);
  return { passed, failed: failures.length };
}

type Settle = (name: string, problem: string | undefined) => void;

async function checkOps(device: WebGpuDevice, settle: Settle): Promise<void> {
  for (const test of opTests.filter(({ op }) => !device.variants.length || varies(op as Op, device))) {
    const { op, reference } = test;
    for (const item of test.cases) {
      const first = await runOp(device, test, item);
      const second = await runOp(device, test, item);
      const want = reference(structuredClone(item.inputs), item.params);
      const problems = Object.entries(first).map(([operand, actual]) => {
        if (!sameBits(actual, second[operand])) return ` ${operand}: two runs differ`;
        const problem = disagreement(actual, want[operand], agreementOn(op as Op, device));
        return problem && ` ${operand}${problem}`;
      });
      settle(`${op.name} (${device.build}), ${item.name}:`, problems.find((problem) => problem !== undefined));
    }
  }
}

const TINY = "test/golden/tiny";
const CURVES = "test/golden/tiny-f32/curves.json";
const RUN = "qlora-nf4dq";

async function folderOf(host: Host, name: string, files: readonly string[]): Promise<SourceFolder> {
  return memoryFolder(name, await Promise.all(files.map(async (file) => [file, await host.read(`${name}/${file}`)] as const)));
}

/** The golden run as a user would start it: the demo model, quantized while it is loaded, PEFT's own initial adapter and batches. */
async function checkCurve(device: WebGpuDevice, host: Host, settle: Settle): Promise<void> {
  const { runs } = JSON.parse(new TextDecoder().decode(await host.read(CURVES))) as { runs: Record<string, { loss: number[]; lr: number }> };
  const golden = runs[RUN];
  const losses: number[] = [];
  const began = performance.now();
  await train({
    device, model: await folderOf(host, "src/demo", ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]),
    initAdapter: await folderOf(host, `${TINY}/${RUN}-init`, ["adapter_config.json", "adapter_model.safetensors"]),
    data: { name: "batches.jsonl", bytes: await goldenRows(host) }, output: nowhere(),
    maxSteps: host.steps, perDeviceTrainBatchSize: 4, gradientAccumulationSteps: 1, maxLength: 96, shuffle: false, seed: 0,
    learningRate: golden.lr, lrSchedulerType: "constant", weightDecay: 0.01, maxGradNorm: 1,
    onStep: ({ loss }) => losses.push(loss),
  });
  const errors = losses.map((loss, step) => Math.abs(loss / golden.loss[step] - 1));
  const worst = Math.max(...errors);
  host.say(`training: ${losses.length} steps in ${((performance.now() - began) / 1000).toFixed(1)} s, losses within ${worst.toExponential(1)} of PEFT's`);
  settle("loss of every step", losses.length === host.steps && worst <= BOUND ? undefined : `: expected ${host.steps} losses within ${BOUND} of PEFT's, got ${losses}`);
}

async function goldenRows(host: Host): Promise<Uint8Array<ArrayBuffer>> {
  const ids = (await readSafetensors(await folderOf(host, TINY, ["batches.safetensors"]), "batches.safetensors")).get("input_ids")!;
  const length = ids.shape[2];
  const rows = Array.from({ length: ids.data.length / length }, (_, row) => JSON.stringify({ input_ids: Array.from(ids.data.subarray(row * length, (row + 1) * length) as Int32Array) }));
  return new TextEncoder().encode(rows.join("\n"));
}

/** Steps of a model that takes milliseconds; every one tells `tell`. */
async function trainOdd(device: WebGpuDevice, host: Host, maxSteps: number, tell: (loss: number) => void): Promise<void> {
  const files = await Promise.all([["test/golden/odd/model-nf4-dq", "config.json"], ["test/golden/odd/model-nf4-dq", "model.safetensors"], ["src/demo", "tokenizer.json"], ["src/demo", "tokenizer_config.json"]].map(async ([folder, file]) => [file, await host.read(`${folder}/${file}`)] as const));
  const rows = Array.from({ length: 8 }, (_, i) => JSON.stringify({ input_ids: [...integers(12, i + 1, 259)] })).join("\n");
  await train({
    device, model: memoryFolder("odd", files), data: { name: "rows.jsonl", bytes: new TextEncoder().encode(rows) }, output: nowhere(),
    r: 2, learningRate: 1e-4, perDeviceTrainBatchSize: 1, gradientAccumulationSteps: 2, maxSteps, maxLength: 12, saveSteps: 50, onStep: ({ loss }) => tell(loss),
  });
}

/** Memory stands still: after the third step no buffer is made, and none is kept. */
async function checkLongRun(device: WebGpuDevice, host: Host, settle: Settle): Promise<void> {
  const steps = 15 * host.steps; // 300 where the curve has 20
  const seen: string[] = [];
  await trainOdd(device, host, steps, () => {
    const { buffers, live, created } = device.memory;
    seen.push(`${buffers} buffers, ${live} bytes, ${created} made`);
  });
  const [first, last] = [seen[2], seen.at(-1)];
  host.say(`${steps} steps: ${last}`);
  settle(`memory over ${steps} steps`, seen.length === steps && seen.slice(2).every((state) => state === first) ? undefined : `: expected ${first} after every step from the third on, got ${last} after ${seen.length}`);
}

/** The device taken away in the middle of a run. */
async function checkLoss(host: Host, settle: Settle): Promise<void> {
  const losses: number[][] = [];
  const submits: number[] = [];
  for (const lose of [false, true]) {
    const { gpu, counts } = faultyGpu(host.gpu, lose ? { loseAtSubmit: submits[0] - 10 } : {});
    const device = await WebGpuDevice.create({ gpu });
    const told: number[] = [];
    await trainOdd(device, host, 12, (loss) => told.push(loss));
    await device.dispose();
    submits.push(counts.submits);
    losses.push(told);
    if (lose) settle("devices of a run that lost one", counts.devices === 2 ? undefined : `: expected 2, got ${counts.devices}`);
  }
  settle("losses of a run that lost its device", losses[0].length === 12 && String(losses[1]) === String(losses[0]) ? undefined : `: expected ${losses[0]}, got ${losses[1]}`);
}

/** A run folder that keeps nothing. */
const nowhere = () => ({ name: "nowhere", saveCheckpoint: async () => "nowhere", saveResult: async () => undefined });
