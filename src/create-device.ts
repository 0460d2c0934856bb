import { kernels } from "#kernels";
import type { Device } from "./device.ts";
import { ShapeError } from "./errors.ts";
import { webThreads, webWorkers } from "./io/workers-web.ts";
import { WasmDevice, type WasmDeviceOptions } from "./wasm/device.ts";

export interface DeviceOptions extends Omit<WasmDeviceOptions, "wasm" | "threads"> {
  /** `auto`, the default, is the CPU: `wasm`. */
  readonly kind?: "auto" | "wasm" | "webgpu";
  /** Workers that share one memory; default 1. `auto`: as many as this runtime gives, 1 in a page that is not cross-origin isolated; `description` says how many. */
  readonly threads?: number | "auto";
  /** Kernels instead of the ones inside the package: bytes or module of one build; say which with `build`. */
  readonly wasm?: WasmDeviceOptions["wasm"];
  /** For `webgpu`: where adapters come from, `navigator.gpu` by default. */
  readonly gpu?: GPU;
  /** For `webgpu`: an adapter to use instead of asking for one. */
  readonly gpuAdapter?: GPUAdapter;
}

/**
 * A device to compute on; `await using` or `dispose()` ends it.
 * @throws DeviceError when this machine has none, ShapeError for a wrong option.
 */
export async function createDevice(options: DeviceOptions = {}): Promise<Device> {
  const { kind = "auto", gpu, gpuAdapter, threads = 1, ...wasm } = options;
  if (kind === "auto" || kind === "wasm") return WasmDevice.create({ wasm: kernels, workers: webWorkers, ...wasm, threads: threads === "auto" ? webThreads() : threads });
  if (kind !== "webgpu") throw new ShapeError("createDevice", "kind", { expected: "auto, wasm or webgpu", got: kind });
  const { WebGpuDevice } = await import("./webgpu/device.ts"); // the shaders are not loaded for a CPU
  return WebGpuDevice.create({ gpu, gpuAdapter });
}
