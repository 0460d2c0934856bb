import type { Device } from "../../src/device.ts";
import { nodeWorkers } from "../../src/io/workers-node.ts";
import { WasmDevice } from "../../src/wasm/device.ts";
import { pickBuild } from "../../src/wasm/kernels.ts";

/** Devices to test on. `REQUIRE_DEVICES=wasm,webgpu` makes an absent one a failure instead of a printed skip. */
export async function testDevices(): Promise<Device[]> {
  const devices: Device[] = [await WasmDevice.create({ build: "simd" })];
  if (pickBuild() === "relaxed") devices.push(await WasmDevice.create({ build: "relaxed" }));
  else console.log("skipped: relaxed SIMD, this engine has none");
  devices.push(await WasmDevice.create({ threads: 3, workers: nodeWorkers }));
  const required = (process.env["REQUIRE_DEVICES"] ?? "").split(",").filter(Boolean);
  for (const kind of required) {
    if (!devices.some((d) => d.kind === kind || d.build === kind)) throw new Error(`REQUIRE_DEVICES names ${kind}, which is absent here`);
  }
  return devices;
}
