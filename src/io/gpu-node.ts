import { existsSync } from "node:fs";
import { DeviceError } from "../errors.ts";
import { navigatorGpu } from "../webgpu/adapter.ts";

/** What a Linux driver shows for any GPU: DRM, NVIDIA's own, AMD's, and Windows' under WSL. */
const GPU_FILES = ["/dev/dri", "/dev/nvidiactl", "/dev/kfd", "/dev/dxg"];

/** WebGPU of this runtime, or of the package `webgpu`. @throws DeviceError */
export async function nodeGpu(): Promise<GPU> {
  const { dawnGpu } = await import("../webgpu/dawn.ts");
  return navigatorGpu() ?? dawnGpu();
}

/** For `auto`: without hardware, looking for it would load a driver that computes on the CPU, and 70 MB with it. @throws DeviceError */
export async function nodeHardwareGpu(): Promise<GPU> {
  if (process.platform === "linux" && !GPU_FILES.some(mayExist)) throw new DeviceError("webgpu", "this machine shows no GPU", { expected: `one of ${GPU_FILES.join(", ")}`, got: "none" });
  return nodeGpu();
}

/** Deno shows device files to nobody who lacks one of its permissions: then WebGPU itself has to say. */
function mayExist(file: string): boolean {
  try {
    return existsSync(file);
  } catch {
    return true;
  }
}
