import { cpus, freemem, loadavg, totalmem } from "node:os";
import type { HostFacts } from "../commands/doctor.ts";
import { pickBuild } from "../wasm/kernels.ts";
import { adapterFacts, navigatorGpu, requestAdapter } from "../webgpu/adapter.ts";
import { dawnGpu } from "../webgpu/dawn.ts";
import { countCores } from "../io/cores-node.ts";
import { allowRelaxedSimd } from "./device.ts";

declare const NIBBLELM_VERSION: string;

/** What Node knows about this machine. Asks for a GPU adapter, makes no GPU device. */
export async function doctorFacts(): Promise<HostFacts> {
  allowRelaxedSimd();
  return { ...machineFacts(), webgpu: await gpuFacts() };
}

/** The same without the GPU. */
export function machineFacts(): Omit<HostFacts, "webgpu"> {
  const { machine: cores, affinity, quota, usable } = countCores();
  const limit = process.constrainedMemory?.() ?? 0;
  const [load] = loadavg();
  return {
    version: NIBBLELM_VERSION,
    runtime: `${runtimeName()} (V8 ${process.versions.v8.split(".").slice(0, 2).join(".")})`,
    platform: `${process.platform} ${process.arch}`,
    cpu: { model: cpus()[0]?.model.trim() ?? "unknown", cores, affinity, quota, usable, load: process.platform === "win32" ? undefined : load },
    memory: { total: totalmem(), free: freemem(), limit: limit > 0 && limit < totalmem() ? limit : undefined },
    wasm: { relaxedSimd: pickBuild() === "relaxed", threads: typeof SharedArrayBuffer === "function" },
  };
}

function runtimeName(): string {
  const { deno, bun, node } = process.versions as Record<string, string | undefined>;
  return deno ? `Deno ${deno}` : bun ? `Bun ${bun}` : `Node ${node}`;
}

async function gpuFacts(): Promise<HostFacts["webgpu"]> {
  try {
    const gpu = navigatorGpu() ?? (await dawnGpu());
    const { name, software } = adapterFacts(await requestAdapter({ gpu }));
    return { adapter: name, software, problem: undefined };
  } catch (error) {
    return { adapter: undefined, software: false, problem: error instanceof Error ? error.message.split("\n")[0] : String(error) };
  }
}
