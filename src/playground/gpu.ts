import { adapterFacts, requestAdapter } from "../webgpu/adapter.ts";

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
