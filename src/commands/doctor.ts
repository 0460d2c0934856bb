import type { Device } from "../device.ts";
import { codeTable, rankTable } from "../format/code-tables.ts";
import { quantize4bit } from "../ops/index.ts";

/** What the host knows about itself. Bytes and cores are numbers; what is unknown is undefined. */
export interface HostFacts {
  readonly version: string;
  /** `Node 20.20.2 (V8 11.3)` */
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
  /** Every way to run the kernels on this CPU, and whether it gives the bits it should. */
  readonly kernels: readonly KernelCheck[];
  /** Whether all of them do. */
  readonly selfCheck: boolean;
  /** What would make this machine faster or safer, in sentences. */
  readonly advice: readonly string[];
}

export interface KernelCheck {
  /** `relaxed SIMD, 2 threads` */
  readonly name: string;
  readonly exact: boolean;
  /** Why there was nothing to check. */
  readonly problem: string | undefined;
}

/**
 * Adds to the host's facts what only running kernels can tell.
 * @param device the one that commands use by default.
 * @param ways opens each device to check.
 */
export async function doctor(host: HostFacts, device: Device, ways: ReadonlyMap<string, () => Promise<Device>>): Promise<DoctorReport> {
  const kernels: KernelCheck[] = [];
  for (const [name, open] of ways) kernels.push(await check(name, open));
  const selfCheck = kernels.every(({ exact }) => exact) && (await quantizesExactly(device));
  return { ...host, device: device.description, kernels, selfCheck, advice: adviceFor(host) };
}

async function check(name: string, open: () => Promise<Device>): Promise<KernelCheck> {
  try {
    await using device = await open();
    return { name, exact: await quantizesExactly(device), problem: undefined };
  } catch (error) {
    return { name, exact: false, problem: error instanceof Error ? error.message.split("\n")[0] : String(error) };
  }
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
  if (!wasm.relaxedSimd) advice.push("This engine has no relaxed SIMD, so matrix products take about twice as long: try a newer Node, Deno or Bun.");
  if (!wasm.threads) advice.push("No shared memory, so only one thread.");
  if (cpu.quota !== undefined && cpu.quota < cpu.affinity) advice.push(`A cgroup grants ${cpu.quota.toFixed(1)} of ${cpu.affinity} cores: more threads than ${cpu.usable} would only wait.`);
  if (cpu.load !== undefined && cpu.load > cpu.cores) advice.push(`Other programs keep the CPU busy (load ${cpu.load.toFixed(1)} on ${cpu.cores} cores): expect a share of the speed.`);
  if (Math.min(memory.total, memory.limit ?? Infinity) < 2 * GIB) advice.push("Less than 2 GiB of memory: models of some hundred million parameters may not fit.");
  if (webgpu.software) advice.push("The WebGPU adapter computes on the CPU: the device wasm is faster.");
  return advice;
}
