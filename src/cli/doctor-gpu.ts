import { measureGpu, type GpuSpeed } from "../commands/doctor-gpu.ts";
import { quantizesExactly } from "../commands/doctor.ts";
import { nodeGpu } from "../io/gpu-node.ts";
import { adapterFacts, type AdapterFacts } from "../webgpu/adapter.ts";
import type { Tiling } from "../op.ts";
import { WebGpuDevice } from "../webgpu/device.ts";
import { openDevice } from "./device.ts";
import { bytesText } from "./format.ts";
import type { Output, Paint } from "./output.ts";

/** What `doctor` says about WebGPU. */
export interface GpuReport {
  /** Every adapter that WebGPU names, the default first. */
  readonly adapters: readonly AdapterFacts[];
  /** The default adapter as a device: its kernels, whether they give the right bits, how fast they are. */
  readonly device: { readonly description: string; readonly build: string; readonly tiling: Tiling; readonly selfCheck: boolean; readonly speed: GpuSpeed } | undefined;
  /** Why there is no device. */
  readonly problem: string | undefined;
}

export async function gpuReport(output: Output): Promise<GpuReport> {
  let adapters: AdapterFacts[] = [];
  try {
    const gpu = await nodeGpu();
    adapters = await adaptersOf(gpu);
    return { adapters, device: await tryDevice(output), problem: undefined };
  } catch (error) {
    return { adapters, device: undefined, problem: error instanceof Error ? error.message : String(error) };
  }
}

/** WebGPU has no list of adapters: only wishes that lead to different ones. */
async function adaptersOf(gpu: GPU): Promise<AdapterFacts[]> {
  const found = new Map<string, AdapterFacts>();
  for (const wish of [{}, { powerPreference: "high-performance" }, { powerPreference: "low-power" }, { forceFallbackAdapter: true }] as const) {
    const adapter = await gpu.requestAdapter(wish);
    if (adapter) found.set(adapterFacts(adapter).name, adapterFacts(adapter));
  }
  return [...found.values()];
}

/** As every command opens it, with the tiling that it computes fastest with. */
async function tryDevice(output: Output): Promise<GpuReport["device"]> {
  await using device = await openDevice({ device: "webgpu" }, output);
  if (!(device instanceof WebGpuDevice)) return undefined;
  const { description, build, tiling } = device;
  return { description, build, tiling, selfCheck: await quantizesExactly(device), speed: await measureGpu(device) };
}

/** Rows for people. */
export function gpuRows({ adapters, device, problem }: GpuReport, paint: Paint): (readonly [string, string])[] {
  const rows: [string, string][] = adapters.map(({ name, software, features, limits }, i) => {
    const has = ["shader-f16", "subgroups", "timestamp-query"].map((feature) => `${feature} ${features.includes(feature) ? "yes" : "no"}`);
    const sizes = `one binding ${bytesText(limits["maxStorageBufferBindingSize"])}, one buffer ${bytesText(limits["maxBufferSize"])}`;
    return [i ? "" : "gpu", `${name}${software ? " (software)" : ""}: ${sizes}; ${has.join(", ")}`];
  });
  if (problem) rows.push(["gpu", problem]);
  if (device) {
    const { speed, selfCheck, build, tiling } = device;
    const clock = speed.clock === "timestamps" ? "by its own clock" : "by the host's clock";
    rows.push(["gpu kernels", `${build}, ${tiling} tiling; ${selfCheck ? paint.good("give the right bits") : paint.bad("give wrong bits: please report this machine")}`]);
    rows.push(["gpu speed", `${speed.gflopPerSecond.toFixed(1)} GFLOP/s in a 512³ f32 product, ${speed.gbPerSecond.toFixed(1)} GB/s in a copy, ${clock}`]);
  }
  return rows;
}
