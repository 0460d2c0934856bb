import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Device } from "../src/device.ts";
import { collate, countTargets } from "../src/data/collate.ts";
import { readSafetensors } from "../src/format/safetensors.ts";
import { openSource } from "../src/io/node.ts";
import { trainingStep } from "../src/optim/training-step.ts";
import { testDevices } from "./support/devices.ts";
import { curves, goldenBatches, goldenRun, type GoldenOptions } from "./support/golden-run.ts";
import { relativeNorm } from "./support/numbers.ts";

const GOLDEN = "test/golden/tiny";
const FLOAT32 = "test/golden/tiny-f32"; // the QLoRA runs again, without bitsandbytes' bfloat16: see make-f32.py
const devices = await testDevices({ gpu: true });
const wholeOnGpu = process.env["GOLDEN_GPU"] === "1"; // minutes on a software adapter: .ci/run does it

const runs = await curves(`${GOLDEN}/curves.json`);
const float32Runs = await curves(`${FLOAT32}/curves.json`);

function optionsOf(name: string, bfloat16: boolean): GoldenOptions {
  const { kind } = runs[name];
  const adapter = `${GOLDEN}/${name}-init`;
  return {
    model: kind === "nf4dq" ? `${GOLDEN}/model-nf4-dq` : "src/demo", adapter, batch: 4, length: 96,
    bfloat16: bfloat16 && kind !== "f32",
    quantization: kind === "nf4" ? { type: "nf4", blocksize: 64, doubleQuant: false } : undefined,
  };
}

async function expectCurve(device: Device, name: string, bfloat16 = true): Promise<void> {
  const golden = (bfloat16 ? runs : float32Runs)[name];
  const batches = await goldenBatches(GOLDEN, "batches.safetensors", golden.completion_only);
  const run = await goldenRun(device, optionsOf(name, bfloat16));
  try {
    for (let step = 0; step < golden.loss.length; step++) {
      const { loss, gradNorm } = await trainingStep(device, run.pass, run.optimizer, batches[step], 4, step, golden.lr, false);
      const error = Math.abs(loss / golden.loss[step] - 1);
      assert.ok(error <= 1e-4, `step ${step}: loss ${loss}, PEFT's ${golden.loss[step]}, relative difference ${error}`);
      const normError = Math.abs(gradNorm / golden.grad_norm[step] - 1);
      assert.ok(normError <= 1e-3, `step ${step}: gradient norm ${gradNorm}, PEFT's ${golden.grad_norm[step]}`);
    }
  } finally {
    run.dispose();
  }
}

async function expectFirstGradients(device: Device, name: string, folder = GOLDEN): Promise<void> {
  const [rows] = await goldenBatches(GOLDEN, "batches.safetensors", false);
  const want = await readSafetensors(await openSource(folder), `${name}-grads0.safetensors`);
  const logits = (await readSafetensors(await openSource(folder), `${name}-logits0.safetensors`)).get("logits")!.data as Float32Array;
  const run = await goldenRun(device, optionsOf(name, folder === GOLDEN));
  run.optimizer.zeroGradients();
  await run.pass.train([collate(rows)], 1 / countTargets(rows));
  const { vocabSize } = run.model.shape;
  for (const row of [0, 1]) {
    const got = await run.pass.logits(row * 96 + 88, 8);
    for (let i = 0; i < got.length; i++) {
      const expected = logits[row * 8 * vocabSize + i];
      assert.ok(Math.abs(got[i] - expected) <= 1e-3, `logit ${i} of row ${row}: ${got[i]}, PEFT's ${expected}`);
    }
  }
  const gradients = await run.parameters.read(run.parameters.grad!);
  let difference = 0;
  let size = 0;
  for (const [path, matrices] of gradients) {
    for (const [letter, got] of [["A", matrices.a], ["B", matrices.b]] as const) {
      const expected = want.get(`base_model.model.${path}.lora_${letter}.weight`)!.data as Float32Array;
      assert.ok(relativeNorm(got, expected) <= 1e-4, `${path}.lora_${letter}: relative norm of the difference ${relativeNorm(got, expected)}`);
      for (let i = 0; i < got.length; i++) { difference += (got[i] - expected[i]) ** 2; size += expected[i] ** 2; }
    }
  }
  assert.ok(Math.sqrt(difference / size) <= 1e-5, `all gradients: ${Math.sqrt(difference / size)}`);
  run.dispose();
}

for (const device of devices) {
  const before = device.memory.buffers;
  const threaded = device.description.includes("threads");
  const short = device.kind === "webgpu" && !wholeOnGpu;
  if (short) console.log("not here: PEFT's curves on webgpu, which GOLDEN_GPU=1 runs");
  const golden = suite(`golden training on ${device.description}`);
  for (const name of Object.keys(runs).filter((n) => !n.includes("dora") && !short && (!threaded || n === "qlora-nf4dq"))) golden(`curve of ${name}`, () => expectCurve(device, name));
  if (!short) for (const name of ["lora-f32", "qlora-nf4dq"]) golden(`gradients and logits at step 0 of ${name}`, () => expectFirstGradients(device, name));
  if (device === devices[0] || (device.kind === "webgpu" && !short)) for (const name of Object.keys(float32Runs)) golden(`curve of ${name} in float32`, () => expectCurve(device, name, false));
  golden("gradients and logits at step 0 of qlora-nf4dq in float32", () => expectFirstGradients(device, "qlora-nf4dq", FLOAT32));
  golden("nothing is left allocated", () => assert.is(device.memory.buffers, before));
  golden.run();
}
