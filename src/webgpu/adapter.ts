import { DeviceError } from "../errors.ts";
import type { Variant } from "../op.ts";
import { featuresFor } from "./variants.ts";

export interface GpuOptions {
  /** Where adapters come from: `navigator.gpu` by default; `dawnGpu()` in Node and Bun. */
  readonly gpu?: GPU | undefined;
  /** An adapter to use instead of asking for one. */
  readonly gpuAdapter?: GPUAdapter | undefined;
  readonly powerPreference?: GPUPowerPreference;
  /** Shaders beside the plain ones; the adapter must have the features they use. Default none. */
  readonly variants?: readonly Variant[] | undefined;
  /** Leaves every limit at WebGPU's default: for tests of what the smallest device would do. */
  readonly defaultLimits?: boolean;
}

/** What is known about an adapter; also what `doctor` prints. */
export interface AdapterFacts {
  readonly name: string;
  /** Computes on the CPU: its times say nothing about a GPU. */
  readonly software: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
}

const HINT_WASM = "or choose the device wasm";

// Asked for as large (or, for alignments, as small) as the adapter has them.
const WANTED = [
  "maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage", "maxComputeWorkgroupStorageSize",
  "maxComputeInvocationsPerWorkgroup", "maxComputeWorkgroupSizeX", "minStorageBufferOffsetAlignment", "minUniformBufferOffsetAlignment",
] as const;

/** What the shaders are written for; adapters of the compatibility mode may have less. */
const NEEDED: Partial<Record<(typeof WANTED)[number], number>> = {
  maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256,
};

/** The `navigator.gpu` of this runtime, if it has one. */
export function navigatorGpu(): GPU | undefined {
  return (globalThis.navigator as { gpu?: GPU } | undefined)?.gpu;
}

/** @throws DeviceError when there is no adapter, or one that cannot compute. */
export async function requestAdapter(options: GpuOptions): Promise<GPUAdapter> {
  if (options.gpuAdapter) return options.gpuAdapter;
  const gpu = options.gpu ?? navigatorGpu();
  if (!gpu) {
    throw new DeviceError("webgpu", "this runtime has no WebGPU", {
      expected: "navigator.gpu", got: "nothing",
      hint: `Node and Bun: npm install webgpu; Deno 2 and Chromium have it built in; ${HINT_WASM}`,
    });
  }
  const { powerPreference } = options;
  const adapter = await gpu.requestAdapter(powerPreference ? { powerPreference } : {}).catch((cause: unknown) => {
    throw new DeviceError("webgpu", "the driver failed when asked for an adapter", { got: cause instanceof Error ? cause.message : cause, hint: `update the driver, ${HINT_WASM}`, cause });
  });
  if (!adapter) {
    throw new DeviceError("webgpu", "no GPU adapter", {
      expected: "a Vulkan, Metal or Direct3D 12 driver", got: "none that WebGPU accepts",
      hint: `install a driver (Mesa's llvmpipe computes on the CPU), ${HINT_WASM}`,
    });
  }
  return adapter;
}

export function adapterFacts(adapter: GPUAdapter): AdapterFacts {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const name = description || [vendor, architecture, device].filter(Boolean).join(" ") || "unnamed adapter";
  const software = isFallbackAdapter === true || /llvmpipe|lavapipe|swiftshader|software|basic render|\bwarp\b/i.test(`${name} ${architecture} ${device}`);
  const limits = Object.fromEntries(WANTED.map((limit) => [limit, adapter.limits[limit]]));
  return { name, software, features: [...adapter.features].sort(), limits };
}

/** @throws DeviceError for a limit that is too small, a variant it cannot do, or when the adapter gives no device. */
export async function requestDevice(adapter: GPUAdapter, options: GpuOptions): Promise<GPUDevice> {
  for (const [limit, least] of Object.entries(NEEDED)) {
    const got = adapter.limits[limit as keyof typeof NEEDED];
    if (!(got >= least)) throw new DeviceError("webgpu", `${limit} of ${adapterFacts(adapter).name}`, { expected: `at least ${least}`, got, hint: `use another adapter, ${HINT_WASM}` });
  }
  const requiredLimits = options.defaultLimits ? {} : Object.fromEntries(WANTED.map((limit) => [limit, adapter.limits[limit]]));
  const requiredFeatures: GPUFeatureName[] = featuresFor(options.variants ?? [], adapter, adapterFacts(adapter).name);
  if (adapter.features.has("timestamp-query")) requiredFeatures.push("timestamp-query");
  try {
    return await adapter.requestDevice({ requiredLimits, requiredFeatures, label: "nibblelm" });
  } catch (cause) {
    throw new DeviceError("webgpu", `${adapterFacts(adapter).name} gave no device`, { got: cause instanceof Error ? cause.message : cause, hint: `close other programs that use the GPU, ${HINT_WASM}`, cause });
  }
}
