import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { doctor, type HostFacts } from "../src/commands/doctor.ts";
import type { Device } from "../src/device.ts";
import { DeviceError } from "../src/errors.ts";
import { WasmDevice } from "../src/wasm/device.ts";

const test = suite("doctor");

const HOST: HostFacts = {
  version: "0", runtime: "none", platform: "none",
  cpu: { model: "a processor", cores: 4, affinity: 4, quota: 1.5, usable: 1, load: 0 },
  memory: { total: 2 ** 34, free: 2 ** 33, limit: 2 ** 30 },
  wasm: { relaxedSimd: true, threads: true }, webgpu: { adapter: undefined, software: false, problem: "none here" },
};

const open = (): Promise<Device> => WasmDevice.create({ wasm: kernels, build: "simd" });

/** Computes as any other, and reads a bit that is wrong. */
async function broken(): Promise<Device> {
  const device = await open();
  const read = device.read.bind(device);
  return Object.assign(device, {
    read: async (tensor: Parameters<Device["read"]>[0]) => {
      const data = await read(tensor);
      data[0] = data[0] ^ 1;
      return data;
    },
  });
}

test("every way to compute is checked by its bits", async () => {
  const refused = (): Promise<Device> => Promise.reject(new DeviceError("threads", "a worker did not start"));
  await using device = await open();
  const report = await doctor(HOST, device, new Map([["right", open], ["wrong", broken], ["absent", refused]]));
  assert.equal(report.kernels, [
    { name: "right", exact: true, problem: undefined }, { name: "wrong", exact: false, problem: undefined },
    { name: "absent", exact: false, problem: "threads: a worker did not start" },
  ]);
  assert.is(report.selfCheck, false);
  assert.is((await doctor(HOST, device, new Map([["right", open]]))).selfCheck, true);
});

test("advice names what limits this machine", async () => {
  await using device = await open();
  const { advice } = await doctor(HOST, device, new Map());
  assert.is(advice.length, 2);
  assert.match(advice[0], /A cgroup grants 1\.5 of 4 cores: more threads than 1 would only wait/);
  assert.match(advice[1], /Less than 2 GiB/);
});

test.run();
