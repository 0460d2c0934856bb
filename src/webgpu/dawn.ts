import { DeviceError } from "../errors.ts";

/**
 * Dawn for Node and Bun, from the optional package `webgpu`.
 * @param toggles strings that Dawn takes: `backend=vulkan`, `adapter=<part of its name>`, `enable-dawn-features=…`.
 * @throws DeviceError when the package is not installed or has no build for this machine.
 */
export async function dawnGpu(toggles: readonly string[] = []): Promise<GPU> {
  try {
    const { create } = await import("webgpu");
    return create([...toggles]);
  } catch (cause) {
    throw new DeviceError("webgpu", "the package webgpu could not be loaded", {
      got: cause instanceof Error ? cause.message.split("\n")[0] : cause,
      hint: "npm install webgpu, or choose the device wasm", cause,
    });
  }
}
