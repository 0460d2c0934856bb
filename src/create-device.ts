import { kernels } from "#kernels";
import type { Device } from "./device.ts";
import { NibbleError, ShapeError } from "./errors.ts";
import { TILINGS, type Op, type Tiling, type Variant } from "./op.ts";
import { WebPace } from "./io/pace-web.ts";
import { webThreads, webWorkers } from "./io/workers-web.ts";
import { WasmDevice, type WasmDeviceOptions } from "./wasm/device.ts";
import { adapterFacts, navigatorGpu, requestAdapter } from "./webgpu/adapter.ts";
import type { TilingCache } from "./webgpu/fastest-tiling.ts";

/** For a GPU. */
interface GpuSettings {
  /** The most bytes of all its buffers together; by default as many as it gives. */
  readonly gpuMemory?: number | undefined;
  /** How matrix products are cut: results are the same, times are not. By default the fastest, measured in a second or two. */
  readonly gpuTiling?: Tiling | undefined;
  /** Shaders for features that not every adapter has; results change within their bounds, so nothing but this turns them on. A run is resumed with its own. */
  readonly gpuVariants?: readonly Variant[] | undefined;
  /** Where the measured answer is kept, by adapter; a `Map` will do. */
  readonly gpuTilings?: TilingCache;
}

export interface DeviceOptions extends Omit<WasmDeviceOptions, "wasm" | "threads">, GpuSettings {
  /** `auto`, the default: a GPU if there is one and it is hardware, else the CPU, `wasm`. */
  readonly kind?: "auto" | "wasm" | "webgpu";
  /** Workers that share one memory; default 1. `auto`: as many as this runtime gives, 1 in a page that is not cross-origin isolated; `description` says how many. */
  readonly threads?: number | "auto";
  /** Give up threads while the machine is busy, and take them back later. In browsers by the Compute Pressure API, which Chromium has; off by default. */
  readonly polite?: boolean | undefined;
  /** After every change of a polite device, in threads: 0.5 is one thread half of the time. */
  readonly onAllowance?: ((allowance: number) => void) | undefined;
  /** Kernels instead of the ones inside the package: bytes or module of one build; say which with `build`. */
  readonly wasm?: WasmDeviceOptions["wasm"];
  /** Where GPU adapters come from, `navigator.gpu` by default. */
  readonly gpu?: GPU;
  /** An adapter to use instead of asking for one. */
  readonly gpuAdapter?: GPUAdapter;
  /** For `auto`: hears what was chosen and why. */
  readonly onChoice?: (choice: string) => void;
}

type WasmPart = Omit<DeviceOptions, "kind" | "gpu" | "gpuAdapter" | "onChoice" | keyof GpuSettings>;
type FindGpu = () => GPU | undefined | Promise<GPU | undefined>;

/**
 * A device to compute on; `await using` or `dispose()` ends it.
 * @throws DeviceError when this machine has none, ShapeError for a wrong option.
 */
export function createDevice(options: DeviceOptions = {}): Promise<Device> {
  return openDevice(options, navigatorGpu, navigatorGpu);
}

/** @param findHardware where `auto` looks. */
export async function openDevice({ kind = "auto", gpu, gpuAdapter, onChoice, gpuMemory, gpuTiling, gpuVariants, gpuTilings, ...wasm }: DeviceOptions, find: FindGpu, findHardware: FindGpu): Promise<Device> {
  const settings = { gpuMemory, gpuTiling, gpuVariants, ...(gpuTilings && { gpuTilings }) };
  if (kind === "wasm") return openWasm(wasm);
  if (kind === "webgpu") return openGpu(gpu ?? (gpuAdapter ? undefined : await find()), gpuAdapter, settings);
  if (kind !== "auto") throw new ShapeError("createDevice", "kind", { expected: "auto, wasm or webgpu", got: kind });
  const { device, choice } = await openHardwareGpu(gpuAdapter ? () => gpu : () => gpu ?? findHardware(), settings, gpuAdapter);
  onChoice?.(choice);
  return device ?? openWasm(wasm);
}

async function openWasm({ threads = 1, polite = false, onAllowance, ...options }: WasmPart): Promise<Device> {
  const pace = polite ? { pace: new WebPace(onAllowance) } : {};
  return WasmDevice.create({ wasm: kernels, workers: webWorkers, ...pace, ...options, threads: threads === "auto" ? webThreads() : threads });
}

/** A GPU that computes faster than a CPU, or the reason why there is none. */
export async function openHardwareGpu(find: FindGpu, settings: GpuSettings, given?: GPUAdapter): Promise<{ readonly device: Device | undefined; readonly choice: string }> {
  try {
    const gpu = await find();
    const adapter = await requestAdapter({ gpu, gpuAdapter: given });
    const { name, software } = adapterFacts(adapter);
    if (software) return { device: undefined, choice: `wasm: the GPU adapter ${name} computes on the CPU, more slowly` };
    return { device: await openGpu(gpu, adapter, settings), choice: `webgpu: ${name}` };
  } catch (error) {
    if (!(error instanceof NibbleError) || error instanceof ShapeError) throw error;
    return { device: undefined, choice: `wasm: ${error.message.split("\n")[0]}` };
  }
}

async function openGpu(gpu: GPU | undefined, gpuAdapter: GPUAdapter | undefined, { gpuMemory, gpuTiling, gpuVariants: variants, gpuTilings = new Map() }: GpuSettings): Promise<Device> {
  if (gpuTiling !== undefined && !TILINGS.includes(gpuTiling)) throw new ShapeError("createDevice", "gpuTiling", { expected: TILINGS.join(", "), got: gpuTiling });
  // Not loaded for a CPU. Every shader is compiled now: one that a driver refuses shows before anything is computed.
  const [{ WebGpuDevice }, { chooseTiling }, { TILING_PROBES }, ops] = await Promise.all([import("./webgpu/device.ts"), import("./webgpu/fastest-tiling.ts"), import("./ops/tiling-probes.ts"), import("./ops/index.ts")]);
  const tiling = gpuTiling ?? ((device: Parameters<typeof chooseTiling>[0]) => chooseTiling(device, TILING_PROBES, gpuTilings));
  return WebGpuDevice.create({ ops: Object.values(ops) as unknown as Op[], gpu, gpuAdapter, gpuMemory, variants, tiling });
}
