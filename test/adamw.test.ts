import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryError } from "../src/errors.ts";
import { AdapterParameters } from "../src/nn/lora.ts";
import { AdamW, ADAMW_DEFAULTS } from "../src/optim/adamw.ts";
import { PagedMoments } from "../src/optim/paged-moments.ts";
import { HostTier } from "../src/pager/host-tier.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { testDevices } from "./support/devices.ts";
import { normals } from "./support/numbers.ts";
import { MemorySpill } from "./support/memory-spill.ts";

const optimizer = suite("AdamW");

optimizer("the second moment gets torch's 1 − beta2, not that of beta2 in float32", async () => {
  const device = await WasmDevice.create({ wasm: kernels });
  const parameters = new AdapterParameters(device, [], true);
  const adamw = new AdamW(device, parameters, { ...ADAMW_DEFAULTS, maxGradNorm: 0 });
  device.write(parameters.grad!, new Float32Array(parameters.length).fill(1));
  await adamw.step(1, 0);
  // torch.optim.AdamW after one step with gradient 1: exp_avg 0.1, exp_avg_sq 0.001, each rounded once.
  assert.is((await adamw.moments.read("exp_avg"))[0], Math.fround(0.1));
  assert.is((await adamw.moments.read("exp_avg_sq"))[0], Math.fround(0.001));
});

const MODULES = [{ path: "q", r: 4, scaling: 1, in: 100, out: 60 }, { path: "k", r: 4, scaling: 1, in: 75, out: 33 }]; // 1216 elements with padding
const SLICE = 256; // 5 of them, the last one partial

optimizer("P4, P6: paged states give the same bits on every device, and as many bytes go down as up; with a file behind them too", async () => {
  for (const device of await testDevices({ gpu: true })) {
    const spill = new MemorySpill();
    const run = async (make?: (length: number) => PagedMoments): Promise<Float32Array[]> => {
      const parameters = new AdapterParameters(device, MODULES, true);
      const before = device.memory.buffers;
      const moments = make?.(parameters.length);
      const adamw = new AdamW(device, parameters, { ...ADAMW_DEFAULTS, weightDecay: 0.1 }, moments);
      device.write(parameters.param, normals(parameters.length, 1));
      for (let t = 1; t <= 3; t++) {
        device.write(parameters.grad!, normals(parameters.length, t + 1));
        await adamw.step(t, 0.01);
      }
      const states = [await adamw.moments.read("exp_avg"), await adamw.moments.read("exp_avg_sq")];
      if (moments) {
        assert.equal([moments.pages.bytesUp, moments.pages.bytesDown], [3 * 2 * 4 * parameters.length, 3 * 2 * 4 * parameters.length]);
        await adamw.moments.write("exp_avg", states[1].slice());
        assert.equal(await adamw.moments.read("exp_avg"), states[1]);
      }
      const [, a, b] = [0, ...[...(await parameters.read()).values()].map(({ a }) => a)] as [number, Float32Array, Float32Array];
      adamw.dispose();
      assert.is(device.memory.buffers, before);
      parameters.dispose();
      return [...states, a, b];
    };
    const resident = await run();
    assert.equal(await run((length) => new PagedMoments(new HostTier(device), length, SLICE)), resident, device.description);
    const openSpill = async (): Promise<MemorySpill> => spill;
    const tier = new HostTier(device, { hostMemory: 3 * 4 * SLICE + 100, openSpill });
    assert.equal(await run((length) => new PagedMoments(tier, length, SLICE)), resident, `${device.description}, 3 of 10 slices in memory`);
    assert.equal([tier.hostBytes, tier.fileBytes, spill.size], [3 * 4 * SLICE, 7 * 4 * SLICE, 7 * 4 * SLICE - 4 * (5 * SLICE - 1216)]);
    await tier.close();
    assert.ok(spill.closed);
    await device.dispose();
  }
});

optimizer("a full disk is told by the next update, and by whoever reads the states", async () => {
  const device = await WasmDevice.create({ wasm: kernels });
  const parameters = new AdapterParameters(device, MODULES, true);
  const spill = new MemorySpill();
  const moments = new PagedMoments(new HostTier(device, { hostMemory: 0, openSpill: async () => spill }), parameters.length, SLICE);
  const adamw = new AdamW(device, parameters, ADAMW_DEFAULTS, moments);
  await adamw.step(1, 0.01);
  await moments.read("exp_avg");
  spill.full = true;
  await adamw.step(2, 0.01).catch(() => undefined);
  for (const work of [() => adamw.step(3, 0.01), () => moments.read("exp_avg_sq")]) {
    let error: unknown;
    await work().catch((thrown: unknown) => { error = thrown; });
    assert.instance(error, MemoryError);
  }
});

optimizer.run();
