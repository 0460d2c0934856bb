import { kernels } from "#kernels";
import { setFlagsFromString } from "node:v8";
import type { Device } from "../device.ts";
import { DeviceError } from "../errors.ts";
import { nodeWorkers } from "../io/workers-node.ts";
import { WasmDevice } from "../wasm/device.ts";
import { pickBuild, type WasmBuild } from "../wasm/kernels.ts";
import { countCores } from "./cores.ts";
import type { Values } from "./options.ts";

export const DEVICE_FLAGS = ["device", "threads", "relaxed-simd"] as const;

/**
 * The device that the flags ask for. `build` forces the kernels of a run that is resumed.
 * @throws DeviceError when this machine has none.
 */
export async function openDevice(values: Values<(typeof DEVICE_FLAGS)[number]>, build?: string): Promise<Device> {
  if (values.device === "webgpu") return openGpu();
  if (values.relaxedSimd !== false) allowRelaxedSimd();
  const threads = values.threads === "auto" ? countCores().usable : (values.threads ?? 1);
  return WasmDevice.create({ wasm: kernels, threads, workers: nodeWorkers, build: chosenBuild(values.relaxedSimd ?? true, build) });
}

let gpu: GPU | undefined; // Dawn's devices die with the object they came from

async function openGpu(): Promise<Device> {
  const [{ WebGpuDevice }, { dawnGpu }, { navigatorGpu }] = await Promise.all([import("../webgpu/device.ts"), import("../webgpu/dawn.ts"), import("../webgpu/adapter.ts")]);
  gpu ??= navigatorGpu() ?? (await dawnGpu());
  return WebGpuDevice.create({ gpu });
}

/** Node 20 has relaxed SIMD behind a flag. It is not touched where the engine does not need it. */
export function allowRelaxedSimd(): void {
  if (pickBuild() === "simd") setFlagsFromString("--experimental-wasm-relaxed-simd");
}

function chosenBuild(relaxed: boolean, wanted: string | undefined): WasmBuild {
  const possible = relaxed ? pickBuild() : "simd";
  if (wanted === undefined || wanted === possible) return possible;
  if (wanted === "simd") return "simd";
  throw new DeviceError("--resume", "this run needs other kernels, or its bits would change", {
    expected: wanted, got: possible, hint: relaxed ? "go on where the run was started, or start a new one" : "leave --no-relaxed-simd away",
  });
}
