import { kernels } from "#kernels";
import type { Device } from "../../src/device.ts";
import { DeviceError } from "../../src/errors.ts";
import { nodeWorkers } from "../../src/io/workers-node.ts";
import { VARIANTS, type Variant } from "../../src/op.ts";
import { WasmDevice } from "../../src/wasm/device.ts";
import { pickBuild } from "../../src/wasm/kernels.ts";
import { navigatorGpu } from "../../src/webgpu/adapter.ts";
import { dawnGpu } from "../../src/webgpu/dawn.ts";
import { WebGpuDevice, type WebGpuDeviceOptions } from "../../src/webgpu/device.ts";

const listOf = (variable: string): string[] => (process.env[variable] ?? "").split(",").filter(Boolean);
const required = listOf("REQUIRE_DEVICES");
/** Variants of the GPU's shaders that must be there. */
export const requiredVariants = required.filter((name) => VARIANTS.includes(name as Variant));
const only = listOf("ONLY_DEVICES");

/**
 * Devices to test on; a GPU only where every op of the test has a shader (`gpu`). `REQUIRE_DEVICES=wasm,webgpu` makes an absent one a failure instead of a printed skip;
 * `ONLY_DEVICES=webgpu` leaves the others out, while one works on a kernel.
 */
export async function testDevices({ gpu: wantGpu = false } = {}): Promise<Device[]> {
  const devices: Device[] = [await WasmDevice.create({ wasm: kernels, build: "simd" })];
  if (pickBuild() === "relaxed") devices.push(await WasmDevice.create({ wasm: kernels, build: "relaxed" }));
  else console.log("skipped: relaxed SIMD, this engine has none");
  devices.push(await WasmDevice.create({ wasm: kernels, threads: 3, workers: nodeWorkers }));
  const gpu = wantGpu ? await webGpuDevice() : undefined;
  if (gpu) devices.push(gpu);
  for (const kind of required) {
    if ((kind !== "webgpu" || wantGpu) && !requiredVariants.includes(kind) && !devices.some((d) => d.kind === kind || d.build === kind)) throw new Error(`REQUIRE_DEVICES names ${kind}, which is absent here`);
  }
  return only.length ? devices.filter((d) => only.includes(d.kind) || only.includes(d.build)) : devices;
}

let dawn: Promise<GPU> | undefined;

/** Dawn, or `navigator.gpu` where there is one. VK_DRIVER_FILES chooses the driver. */
export function testGpu(): Promise<GPU> {
  return dawn ??= Promise.resolve(navigatorGpu() ?? dawnGpu());
}

/** Its default adapter as a device, or undefined and a printed skip. */
export async function webGpuDevice(options: Omit<WebGpuDeviceOptions, "gpu"> = {}): Promise<WebGpuDevice | undefined> {
  try {
    return await WebGpuDevice.create({ gpu: await testGpu(), ...options });
  } catch (error) {
    if (!(error instanceof DeviceError) || required.includes("webgpu")) throw error;
    console.log(`skipped: webgpu, ${error.message.split("\n")[0]}`);
    return undefined;
  }
}
