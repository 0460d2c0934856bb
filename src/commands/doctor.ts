import type { Device } from "../device.ts";
import { codeTable, rankTable } from "../format/code-tables.ts";
import { quantize4bit } from "../ops/index.ts";

/** What the host knows about itself. Bytes and cores are numbers; what is unknown is undefined. */
export interface HostFacts {
  readonly version: string;
  /** `node 20.20.2 (V8 11.3)` */
  readonly runtime: string;
  readonly platform: string;
  readonly cpu: { readonly model: string; readonly cores: number; readonly affinity: number; readonly quota: number | undefined; readonly usable: number; readonly load: number | undefined };
  readonly memory: { readonly total: number; readonly free: number; readonly limit: number | undefined };
  readonly wasm: { readonly relaxedSimd: boolean; readonly threads: boolean };
  /** Name of the GPU, or why there is none. */
  readonly webgpu: { readonly adapter: string | undefined; readonly software: boolean; readonly problem: string | undefined };
}

export interface DoctorReport extends HostFacts {
  /** The device that commands use by default. */
  readonly device: string;
  /** Whether its kernels give the bits they should. */
  readonly selfCheck: boolean;
  /** What would make this machine faster or safer, in sentences. */
  readonly advice: readonly string[];
}

/** Adds to the host's facts what only running kernels can tell. */
export async function doctor(host: HostFacts, device: Device): Promise<DoctorReport> {
  return { ...host, device: device.description, selfCheck: await quantizesExactly(device), advice: adviceFor(host) };
}

/** The sixteen levels of NF4, quantized, are their own numbers. */
export async function quantizesExactly(device: Device): Promise<boolean> {
  const table = codeTable("nf4");
  const { thresholds, codes } = rankTable(table);
  const n = 64;
  const tensors = {
    x: device.allocate("f32", [n], "x"), thresholds: device.allocate("f32", [15], "thresholds"), codes: device.allocate("u8", [16], "codes"),
    packed: device.allocate("u8", [n / 2], "packed"), absmax: device.allocate("f32", [1], "absmax"),
  };
  try {
    device.write(tensors.x, Float32Array.from({ length: n }, (_, i) => 3 * table[i % 16]));
    device.write(tensors.thresholds, thresholds);
    device.write(tensors.codes, codes);
    device.run(quantize4bit, tensors, { n, blocksize: n, inputType: 0 });
    const [packed, absmax] = [await device.read(tensors.packed), await device.read(tensors.absmax)];
    return absmax[0] === 3 && packed.every((byte, i) => byte === (((2 * i) % 16) << 4 | (2 * i + 1) % 16));
  } finally {
    for (const tensor of Object.values(tensors)) device.free(tensor);
  }
}

const GIB = 2 ** 30;

function adviceFor({ cpu, memory, wasm, webgpu }: HostFacts): string[] {
  const advice: string[] = [];
  if (!wasm.relaxedSimd) advice.push("This engine has no relaxed SIMD: a newer Node, Deno, Bun or Chromium computes faster.");
  if (!wasm.threads) advice.push("No shared memory, so only one thread.");
  if (cpu.quota !== undefined && cpu.quota < cpu.affinity) advice.push(`A cgroup grants ${cpu.quota.toFixed(1)} of ${cpu.affinity} cores: more threads than ${cpu.usable} would only wait.`);
  if (cpu.load !== undefined && cpu.load > cpu.cores) advice.push(`Other programs keep the CPU busy (load ${cpu.load.toFixed(1)} on ${cpu.cores} cores): expect a share of the speed.`);
  if (Math.min(memory.total, memory.limit ?? Infinity) < 2 * GIB) advice.push("Less than 2 GiB of memory: models of some hundred million parameters may not fit.");
  if (webgpu.software) advice.push("The WebGPU adapter computes on the CPU: the device wasm is faster.");
  return advice;
}
