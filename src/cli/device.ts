import { kernels } from "#kernels";
import { setFlagsFromString } from "node:v8";
import type { Device } from "../device.ts";
import { openDevice as openDeviceOf, openHardwareGpu } from "../create-device.ts";
import { DeviceError, ShapeError } from "../errors.ts";
import { nodeGpu, nodeHardwareGpu } from "../io/gpu-node.ts";
import { GpuTilingsFile } from "../io/gpu-tilings-node.ts";
import type { Tiling, Variant } from "../op.ts";
import { programMemory } from "../io/program-memory-node.ts";
import { planThreads } from "../io/threads-node.ts";
import type { PagingOptions } from "../pager/pager.ts";
import { WasmDevice } from "../wasm/device.ts";
import { buildOf, variantsOf } from "../webgpu/variants.ts";
import { isWasmBuild, pickBuild, type WasmBuild } from "../wasm/kernels.ts";
import { plural, shortNumber } from "./format.ts";
import type { Values } from "./options.ts";
import type { Output } from "./output.ts";

export const DEVICE_FLAGS = ["device", "threads", "polite", "cpu-share", "relaxed-simd"] as const;

/** For commands over a base that may be paged. */
export const MEMORY_FLAGS = ["gpu-memory", "gpu-frames", "host-memory"] as const;

type DeviceValues = Values<(typeof DEVICE_FLAGS)[number]> & Values<(typeof MEMORY_FLAGS)[number] | "gpu-variants">;

/**
 * The device that the flags ask for. `build` forces the kernels of a run that is resumed.
 * @throws DeviceError when this machine has none.
 */
export async function openDevice(values: DeviceValues, output: Output, build?: string): Promise<Device> {
  const { gpuMemory, gpuFrames, hostMemory, gpuVariants } = values;
  const gpu = await gpuFor(values, output, build);
  if (gpu) return gpu;
  for (const [flag, value] of [["--gpu-memory", gpuMemory], ["--gpu-frames", gpuFrames], ["--gpu-variants", gpuVariants]] as const) {
    if (value !== undefined) throw new ShapeError(flag, "device", { expected: "webgpu", got: "wasm", ...(flag !== "--gpu-variants" && { hint: "the CPU's limit is --host-memory" }) });
  }
  if (values.relaxedSimd !== false) allowRelaxedSimd();
  return WasmDevice.create({ wasm: kernels, ...planThreads({ ...values, onAllowance: (allowance) => tellAllowance(output, allowance) }), hostMemory, build: chosenBuild(values.relaxedSimd ?? true, build) });
}

/** Limits of paging beside the device's own. */
export function pagingOf(device: Device, { gpuFrames: frames, hostMemory }: Values<(typeof MEMORY_FLAGS)[number]>): PagingOptions {
  // All memory is the device's there: with a limit, what lies beside it is in files.
  return device.kind === "wasm" ? hostMemory === undefined ? {} : { hostMemory: 0, program: programMemory } : { frames, hostMemory };
}

async function gpuFor({ device: kind = "auto", gpuMemory, gpuVariants }: DeviceValues, output: Output, build: string | undefined): Promise<Device | undefined> {
  if (kind === "wasm") return undefined;
  const ofRun = build !== undefined && !isWasmBuild(build);
  const settings = { gpuMemory, gpuVariants: ofRun ? variantsOfRun(build, gpuVariants) : gpuVariants, ...tilings() };
  if (kind === "webgpu" || ofRun) return openDeviceOf({ kind: "webgpu", ...settings }, nodeGpu, nodeHardwareGpu);
  if (build !== undefined) return undefined; // the run was begun on the CPU
  const { device, choice } = await openHardwareGpu(nodeHardwareGpu, settings);
  const why = choice.replace(/^wasm: (?:webgpu: )?/, "").replace(/: expected .*/, "");
  output.note(output.notePaint.dim(device ? choice : `computing on the CPU: ${why}`));
  return device;
}

function variantsOfRun(build: string, wanted: readonly Variant[] | undefined): Variant[] {
  if (wanted && buildOf(wanted) !== build) throw new DeviceError("--resume", "this run needs other kernels, or its bits would change", { expected: build, got: buildOf(wanted), hint: "leave --gpu-variants away, or start a new run" });
  return variantsOf(build);
}

/** `NIBBLELM_GPU_TILING` forces one; without it the fastest is measured and remembered. */
function tilings(): { gpuTilings: GpuTilingsFile; gpuTiling: Tiling | undefined } {
  return { gpuTilings: new GpuTilingsFile(), gpuTiling: (process.env["NIBBLELM_GPU_TILING"] || undefined) as Tiling | undefined };
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
