import { suite } from "uvu";
import * as assert from "uvu/assert";
import { collate, countTargets } from "../src/data/collate.ts";
import type { Device } from "../src/device.ts";
import { readSafetensors, type HostTensor } from "../src/format/safetensors.ts";
import { openSource } from "../src/io/node.ts";
import { testDevices } from "./support/devices.ts";
import { goldenRun } from "./support/golden-run.ts";
import { relativeNorm } from "./support/numbers.ts";

// Two layers of hidden size 96: NF4 blocks of 64 cross rows; GQA, biases, own head, llama3 rope scaling. See make-odd.py.
const ODD = "test/golden/odd";
const golden = await readSafetensors(await openSource(ODD), "odd-golden.safetensors");
const BATCH = 2;
const LENGTH = 48;

const values = (name: string): Float32Array => (golden.get(name) as HostTensor).data as Float32Array;

async function expectStep(device: Device, kind: "f32" | "nf4dq"): Promise<void> {
  const model = kind === "f32" ? `${ODD}/model` : `${ODD}/model-nf4-dq`;
  const run = await goldenRun(device, { model, adapter: `${ODD}/odd-init`, batch: BATCH, length: LENGTH });
  const ids = golden.get("input_ids")!.data as ArrayLike<number>;
  const rows = Array.from({ length: BATCH }, (_, row) => {
    const inputIds = Int32Array.from({ length: LENGTH }, (_, i) => Number(ids[row * LENGTH + i]));
    return { inputIds, labels: inputIds };
  });
  run.optimizer.zeroGradients();
  const batch = collate(rows);
  await run.pass.train([batch], 1 / countTargets(rows));
  const { vocabSize } = run.model.shape;
  for (let row = 0; row < BATCH; row++) {
    const got = await run.pass.logits(row * LENGTH + LENGTH - 8, 8);
    const want = values(`${kind}.adapter.logits`);
    for (let i = 0; i < got.length; i++) assert.ok(Math.abs(got[i] - want[row * 8 * vocabSize + i]) <= 1e-3, `logit ${i} of row ${row}: ${got[i]}, PEFT's ${want[row * 8 * vocabSize + i]}`);
  }
  const [losses] = await run.pass.losses([batch]);
  const wantLosses = values(`${kind}.adapter.token_losses`);
  for (let row = 0; row < BATCH; row++) {
    const got = losses.subarray(row * LENGTH, row * LENGTH + LENGTH - 1);
    assert.ok(relativeNorm(got, wantLosses.subarray(row * (LENGTH - 1), (row + 1) * (LENGTH - 1))) <= 1e-5, `token losses of row ${row}`);
  }
  for (const [path, { a, b }] of await run.parameters.read(run.parameters.grad!)) {
    for (const [letter, got] of [["A", a], ["B", b]] as const) {
      const error = relativeNorm(got, values(`${kind}.grad.base_model.model.${path}.lora_${letter}.weight`));
      assert.ok(error <= 1e-4, `${path}.lora_${letter}: relative norm of the difference ${error}`);
    }
  }
  run.dispose();
}

for (const device of await testDevices({ gpu: true })) {
  const odd = suite(`a model of odd sizes on ${device.description}`);
  odd("logits, losses and gradients over float32", () => expectStep(device, "f32"));
  odd("logits, losses and gradients over NF4 with double quantization", () => expectStep(device, "nf4dq"));
  odd.run();
}
