import type { Device } from "./device.ts";
import { ShapeError } from "./errors.ts";
import { WasmDevice, type WasmDeviceOptions } from "./wasm/device.ts";

export interface DeviceOptions extends WasmDeviceOptions {
  /** `auto`, the default, is the CPU: `wasm`. */
  readonly kind?: "auto" | "wasm" | "webgpu";
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
  const { kind = "auto", gpu, gpuAdapter, ...wasm } = options;
  if (kind === "auto" || kind === "wasm") return WasmDevice.create(wasm);
  if (kind !== "webgpu") throw new ShapeError("createDevice", "kind", { expected: "auto, wasm or webgpu", got: kind });
  const { WebGpuDevice } = await import("./webgpu/device.ts"); // the shaders are not loaded for a CPU
  return WebGpuDevice.create({ gpu, gpuAdapter });
}
