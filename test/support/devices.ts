import type { Device } from "../../src/device.ts";
import { NibbleError } from "../../src/errors.ts";
import { WasmDevice } from "../../src/wasm/device.ts";
import { pickBuild } from "../../src/wasm/kernels.ts";
import { dawnGpu } from "../../src/webgpu/dawn.ts";
import { WebGpuDevice } from "../../src/webgpu/device.ts";

const required = (process.env["REQUIRE_DEVICES"] ?? "").split(",").filter(Boolean);

/** Devices to test on. `REQUIRE_DEVICES=wasm,webgpu` makes an absent one a failure instead of a printed skip. */
export async function testDevices(): Promise<Device[]> {
  const devices: Device[] = [await WasmDevice.create({ build: "simd" })];
  if (pickBuild() === "relaxed") devices.push(await WasmDevice.create({ build: "relaxed" }));
  else console.log("skipped: relaxed SIMD, this engine has none");
  const gpu = await webGpuDevice();
  if (gpu) devices.push(gpu);
  for (const kind of required) {
    if (!devices.some((d) => d.kind === kind || d.build === kind)) throw new Error(`REQUIRE_DEVICES names ${kind}, which is absent here`);
  }
  return devices;
}

let dawn: Promise<GPU> | undefined;

/** Dawn's default adapter, or undefined and a printed skip. VK_DRIVER_FILES chooses the driver. */
export async function webGpuDevice(options: { defaultLimits?: boolean } = {}): Promise<WebGpuDevice | undefined> {
  try {
    return await WebGpuDevice.create({ gpu: await (dawn ??= dawnGpu()), ...options });
  } catch (error) {
    if (!(error instanceof NibbleError) || required.includes("webgpu")) throw error;
    console.log(`skipped: webgpu, ${error.message.split("\n")[0]}`);
    return undefined;
  }
}
