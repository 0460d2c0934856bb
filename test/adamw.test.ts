import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { AdapterParameters } from "../src/nn/lora.ts";
import { AdamW, ADAMW_DEFAULTS } from "../src/optim/adamw.ts";
import { WasmDevice } from "../src/wasm/device.ts";

const optimizer = suite("AdamW");

optimizer("the second moment gets torch's 1 − beta2, not that of beta2 in float32", async () => {
  const device = await WasmDevice.create({ wasm: kernels });
  const parameters = new AdapterParameters(device, [], true);
  const adamw = new AdamW(device, parameters, { ...ADAMW_DEFAULTS, maxGradNorm: 0 });
  device.write(parameters.grad!, new Float32Array(parameters.length).fill(1));
  adamw.step(1, 0);
  // torch.optim.AdamW after one step with gradient 1: exp_avg 0.1, exp_avg_sq 0.001, each rounded once.
  assert.is(((await device.read(parameters.expAvg!)) as Float32Array)[0], Math.fround(0.1));
  assert.is(((await device.read(parameters.expAvgSq!)) as Float32Array)[0], Math.fround(0.001));
});

optimizer.run();
