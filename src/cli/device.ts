import { kernels } from "#kernels";
import { setFlagsFromString } from "node:v8";
import type { Device } from "../device.ts";
import { DeviceError } from "../errors.ts";
import { planThreads } from "../io/threads-node.ts";
import { WasmDevice } from "../wasm/device.ts";
import { pickBuild, type WasmBuild } from "../wasm/kernels.ts";
import { plural, shortNumber } from "./format.ts";
import type { Values } from "./options.ts";
import type { Output } from "./output.ts";

export const DEVICE_FLAGS = ["device", "threads", "polite", "cpu-share", "relaxed-simd"] as const;

/**
 * The device that the flags ask for. `build` forces the kernels of a run that is resumed.
 * @throws DeviceError when this machine has none.
 */
export async function openDevice(values: Values<(typeof DEVICE_FLAGS)[number]>, output: Output, build?: string): Promise<Device> {
  if (values.device === "webgpu") return openGpu();
  if (values.relaxedSimd !== false) allowRelaxedSimd();
  return WasmDevice.create({ wasm: kernels, ...planThreads({ ...values, onAllowance: (allowance) => tellAllowance(output, allowance) }), build: chosenBuild(values.relaxedSimd ?? true, build) });
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

function tellAllowance(output: Output, allowance: number): void {
  output.note(output.notePaint.dim(`polite: now ${allowance >= 1 ? plural(allowance, "thread") : `one thread, ${shortNumber(100 * allowance)} % of the time`}`));
  output.object({ event: "schedule", allowance });
}

/** What of the CPU a device took, for `--json`; null where the GPU computed. */
export function scheduleOf(device: Device): Record<string, unknown> | null {
  return device instanceof WasmDevice ? { ...device.schedule } : null;
}
