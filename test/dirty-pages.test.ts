import { suite } from "uvu";
import * as assert from "uvu/assert";
import { MemoryError } from "../src/errors.ts";
import { BoundaryStack } from "../src/nn/boundary-stack.ts";
import { DirtyPages } from "../src/pager/dirty-pages.ts";
import { HostTier } from "../src/pager/host-tier.ts";
import { LANES, PIECE } from "../src/pager/pieces.ts";
import { viewTensor } from "../src/tensor.ts";
import { CountingDevice } from "./support/counting-device.ts";
import { MemorySpill } from "./support/memory-spill.ts";

const dirty = suite("dirty pages");

dirty("P4, P5: what went to the host comes back, a piece at a time: neither reads nor waiting writes grow with the page", async () => {
  for (const kind of ["wasm", "webgpu"] as const) {
    for (const hostMemory of [Infinity, 0]) {
      const device = new CountingDevice(kind);
      const spill = new MemorySpill();
      const tier = new HostTier(device, { hostMemory, openSpill: async () => spill });
      const elements = 2 * PIECE + 100;
      const pages = new DirtyPages(tier, 3, elements);
      const frame = device.allocate("f32", [elements], "frame");
      for (const page of [0, 1, 2]) {
        const values = new Float32Array(elements).fill(page + 1);
        values[elements - 1] = -page;
        device.write(frame, values);
        await pages.save(page, frame);
      }
      device.mostWaiting = 0;
      const seen: number[] = [];
      for (const page of [2, 0, 1]) {
        await tier.fence();
        await pages.load(page, frame);
        device.look(frame, (bytes) => { const values = new Float32Array(bytes.slice().buffer); seen.push(values[0], values[2 * PIECE], values[elements - 1]); });
      }
      await device.finish();
      assert.equal(seen, [3, 3, -2, 1, 1, 0, 2, 2, -1], kind);
      assert.equal([pages.bytesDown, pages.bytesUp, device.bytesDown], [12 * elements, 12 * elements, 12 * elements]);
      assert.ok(device.mostReading <= LANES * 4 * PIECE, `${device.mostReading} bytes read at once`);
      assert.ok(device.mostWaiting <= (kind === "wasm" ? 1 : 2) * 4 * elements, `${device.mostWaiting} bytes wait to be written`);
      assert.is(spill.size > 0, hostMemory === 0);
      await tier.close();
    }
  }
});

dirty("a shorter tensor is the beginning of its page, and what was never saved is 0", async () => {
  for (const hostMemory of [Infinity, 0]) {
    const device = new CountingDevice("webgpu");
    const tier = new HostTier(device, { hostMemory, openSpill: async () => new MemorySpill() });
    const pages = new DirtyPages(tier, 2, 100);
    const frame = device.allocate("f32", [100], "frame");
    device.write(frame, new Float32Array(100).fill(7));
    void pages.save(1, viewTensor(frame, [10])); // who loads it waits
    await pages.load(0, frame);
    device.look(frame, (bytes) => assert.ok(bytes.every((byte) => byte === 0)));
    await pages.load(1, viewTensor(frame, [10]));
    device.look(viewTensor(frame, [11]), (bytes) => assert.equal([...new Float32Array(bytes.slice().buffer)], [...Array<number>(10).fill(7), 0]));
    await device.finish();
  }
});

dirty("a stack of inputs: two tensors serve every layer, forwards and backwards, the top one's input stays", async () => {
  const [layers, bottom] = [7, 2];
  for (const kind of ["wasm", "webgpu"] as const) {
    const device = new CountingDevice(kind);
    const tier = new HostTier(device);
    const stack = new BoundaryStack(tier, layers, bottom, 16);
    const frames = [0, 1].map((i) => device.allocate("f32", [16], `residual.${i}`));
    const at = (i: number) => frames[i % 2];
    for (let step = 1; step <= 2; step++) {
      const seen: number[] = [];
      const value = (i: number) => 100 * step + i;
      device.write(at(0), new Float32Array(16).fill(value(0)));
      for (let i = 0; i < layers; i++) {
        await stack.push(i, at(i));
        device.write(at(i + 1), new Float32Array(16).fill(value(i + 1))); // the layer's output
      }
      for (let i = layers - 1; i >= bottom; i--) {
        await stack.pop(i, at(i));
        device.look(at(i), (bytes) => seen.push(new Float32Array(bytes.slice().buffer)[15]));
        if (i < layers - 1) device.write(at(i + 1), new Float32Array(16).fill(value(i + 1))); // … when it runs again
      }
      await device.finish();
      assert.equal(seen, [6, 5, 4, 3, 2].map(value), kind);
      assert.equal([stack.pages.bytesDown, stack.pages.bytesUp], [step * 4 * 64, step * 4 * 64]);
    }
  }
});

dirty("without a file, what exceeds the host's budget is an error that names the smallest one", () => {
  const tier = new HostTier(new CountingDevice("webgpu"), { hostMemory: 999 });
  assert.throws(() => tier.check(1000), (error: unknown) => error instanceof MemoryError && /host memory for activations and optimizer states: expected at least 1000 bytes, got 999/.test(error.message));
  tier.check(999);
});

dirty.run();
