import { kernels } from "#kernels";
import type { Device } from "./device.ts";
import { NibbleError, ShapeError } from "./errors.ts";
import type { Op } from "./op.ts";
import { webThreads, webWorkers } from "./io/workers-web.ts";
import { WasmDevice, type WasmDeviceOptions } from "./wasm/device.ts";
import { adapterFacts, navigatorGpu, requestAdapter } from "./webgpu/adapter.ts";

export interface DeviceOptions extends Omit<WasmDeviceOptions, "wasm" | "threads"> {
  /** `auto`, the default: a GPU if there is one and it is hardware, else the CPU, `wasm`. */
  readonly kind?: "auto" | "wasm" | "webgpu";
  /** Workers that share one memory; default 1. `auto`: as many as this runtime gives, 1 in a page that is not cross-origin isolated; `description` says how many. */
  readonly threads?: number | "auto";
  /** Kernels instead of the ones inside the package: bytes or module of one build; say which with `build`. */
  readonly wasm?: WasmDeviceOptions["wasm"];
  /** Where GPU adapters come from, `navigator.gpu` by default. */
  readonly gpu?: GPU;
  /** An adapter to use instead of asking for one. */
  readonly gpuAdapter?: GPUAdapter;
  /** For a GPU: the most bytes of all its buffers together; by default as many as it gives. */
  readonly gpuMemory?: number | undefined;
  /** For `auto`: hears what was chosen and why. */
  readonly onChoice?: (choice: string) => void;
}

type WasmPart = Omit<DeviceOptions, "kind" | "gpu" | "gpuAdapter" | "gpuMemory" | "onChoice">;
type FindGpu = () => GPU | undefined | Promise<GPU | undefined>;

/**
 * A device to compute on; `await using` or `dispose()` ends it.
 * @throws DeviceError when this machine has none, ShapeError for a wrong option.
 */
export function createDevice(options: DeviceOptions = {}): Promise<Device> {
  return openDevice(options, navigatorGpu, navigatorGpu);
}

/** @param findHardware where `auto` looks. */
export async function openDevice({ kind = "auto", gpu, gpuAdapter, gpuMemory, onChoice, ...wasm }: DeviceOptions, find: FindGpu, findHardware: FindGpu): Promise<Device> {
  if (kind === "wasm") return openWasm(wasm);
  if (kind === "webgpu") return openGpu(gpu ?? (gpuAdapter ? undefined : await find()), gpuAdapter, gpuMemory);
  if (kind !== "auto") throw new ShapeError("createDevice", "kind", { expected: "auto, wasm or webgpu", got: kind });
  const { device, choice } = await openHardwareGpu(gpuAdapter ? () => gpu : () => gpu ?? findHardware(), gpuAdapter, gpuMemory);
  onChoice?.(choice);
  return device ?? openWasm(wasm);
}

function openWasm({ threads = 1, ...options }: WasmPart): Promise<Device> {
  return WasmDevice.create({ wasm: kernels, workers: webWorkers, ...options, threads: threads === "auto" ? webThreads() : threads });
}

/** A GPU that computes faster than a CPU, or the reason why there is none. */
export async function openHardwareGpu(find: FindGpu, given?: GPUAdapter, gpuMemory?: number): Promise<{ readonly device: Device | undefined; readonly choice: string }> {
  try {
    const gpu = await find();
    const adapter = await requestAdapter({ gpu, gpuAdapter: given });
    const { name, software } = adapterFacts(adapter);
    if (software) return { device: undefined, choice: `wasm: the GPU adapter ${name} computes on the CPU, more slowly` };
    return { device: await openGpu(gpu, adapter, gpuMemory), choice: `webgpu: ${name}` };
  } catch (error) {
    if (!(error instanceof NibbleError) || error instanceof ShapeError) throw error;
    return { device: undefined, choice: `wasm: ${error.message.split("\n")[0]}` };
  }
}

async function openGpu(gpu: GPU | undefined, gpuAdapter: GPUAdapter | undefined, gpuMemory: number | undefined): Promise<Device> {
  // Neither is loaded for a CPU. Every shader is compiled now: one that a driver refuses shows before anything is computed.
  const [{ WebGpuDevice }, ops] = await Promise.all([import("./webgpu/device.ts"), import("./ops/index.ts")]);
  return WebGpuDevice.create({ ops: Object.values(ops) as unknown as Op[], gpu, gpuAdapter, gpuMemory });
}
