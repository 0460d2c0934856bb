import { createDevice, type DeviceOptions } from "../create-device.ts";
import type { Device, DeviceMemory } from "../device.ts";
import { DeviceError } from "../errors.ts";
import type { PagingOptions } from "../pager/pager.ts";
import { adapterFacts, requestAdapter } from "../webgpu/adapter.ts";
import type { Settings } from "./session.ts";

/** Of pages for a GPU: what is beyond is read from the browser's storage each time. A tab shall not hold a large model twice. */
const HOST_MEMORY = 256e6;

/** The device that the form asks for. Where the page's host lets no worker start, one thread computes. */
export async function deviceFor({ device: kind, megabytes }: Pick<Settings, "device" | "megabytes">): Promise<Device> {
  const limit = megabytes === undefined ? undefined : Math.round(1e6 * megabytes);
  const options: DeviceOptions = { kind, ...(limit !== undefined && (kind === "webgpu" ? { gpuMemory: limit } : { hostMemory: limit })) };
  if (kind === "webgpu") return createDevice(options);
  try {
    return await createDevice({ ...options, threads: "auto" });
  } catch (error) {
    if (!(error instanceof DeviceError) || error.where !== "threads") throw error;
    return createDevice({ ...options, threads: 1 });
  }
}

export function pagingOn(device: Device): PagingOptions {
  return device.kind === "wasm" ? {} : { hostMemory: HOST_MEMORY };
}

/** What can be posted to the page. */
export function memoryOf({ memory: { live, peak, limit } }: Device): Pick<DeviceMemory, "live" | "peak" | "limit"> {
  return { live, peak, limit };
}

/** The GPU that this browser offers to pages, if any. */
export async function gpuName(): Promise<string | undefined> {
  if (!navigator.gpu) return undefined;
  try {
    const { name, software } = adapterFacts(await requestAdapter({ gpu: navigator.gpu }));
    return software ? `${name}, which computes on the CPU` : name;
  } catch {
    return undefined;
  }
}
