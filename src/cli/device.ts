import { kernels } from "#kernels";
import { setFlagsFromString } from "node:v8";
import type { Device } from "../device.ts";
import { openDevice as openDeviceOf, openHardwareGpu } from "../create-device.ts";
import { DeviceError } from "../errors.ts";
import { nodeGpu, nodeHardwareGpu } from "../io/gpu-node.ts";
import { planThreads } from "../io/threads-node.ts";
import { WasmDevice } from "../wasm/device.ts";
import { isWasmBuild, pickBuild, type WasmBuild } from "../wasm/kernels.ts";
import { plural, shortNumber } from "./format.ts";
import type { Values } from "./options.ts";
import type { Output } from "./output.ts";

export const DEVICE_FLAGS = ["device", "threads", "polite", "cpu-share", "relaxed-simd"] as const;

/**
 * The device that the flags ask for. `build` forces the kernels of a run that is resumed.
 * @throws DeviceError when this machine has none.
 */
export async function openDevice(values: Values<(typeof DEVICE_FLAGS)[number]>, output: Output, build?: string): Promise<Device> {
  const gpu = await gpuFor(values.device ?? "auto", output, build);
  if (gpu) return gpu;
  if (values.relaxedSimd !== false) allowRelaxedSimd();
  return WasmDevice.create({ wasm: kernels, ...planThreads({ ...values, onAllowance: (allowance) => tellAllowance(output, allowance) }), build: chosenBuild(values.relaxedSimd ?? true, build) });
}

async function gpuFor(kind: "auto" | "wasm" | "webgpu", output: Output, build: string | undefined): Promise<Device | undefined> {
  if (kind === "wasm") return undefined;
  if (kind === "webgpu" || (build !== undefined && !isWasmBuild(build))) return openDeviceOf({ kind: "webgpu" }, nodeGpu, nodeHardwareGpu);
  if (build !== undefined) return undefined; // the run was begun on the CPU
  const { device, choice } = await openHardwareGpu(nodeHardwareGpu);
  output.note(output.notePaint.dim(`device ${choice}`));
  return device;
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
