import { tilingsOf, type Op, type Params, type Tiling } from "../op.ts";
import type { WebGpuDevice } from "./device.ts";

/** A call to time, of any size. */
export interface Probe {
  readonly op: Op;
  readonly params: (size: number) => Params;
}

/** Remembers the answer by adapter; a `Map` is one. */
export interface TilingCache {
  get(adapter: string): string | undefined | Promise<string | undefined>;
  set(adapter: string, tiling: Tiling): unknown;
}

const BUDGET = 1200; // milliseconds; the round that is under way ends
const ENOUGH = 4; // milliseconds of a probe: less than that measures the queue
const LEAST_SIZE = 256, MOST_SIZE = 2048;
const ROUNDS = 3;

/** The tiling that computes the probes fastest on this device, measured once per adapter. */
export async function chooseTiling(device: WebGpuDevice, probes: readonly Probe[], cache: TilingCache): Promise<Tiling> {
  // Where memory of workgroups is memory like any other, there is nothing to measure; and compiling takes seconds.
  const possible = tilingsOf(device.variants);
  // SwiftShader does that for 40 s with `registers`, whose loops are unrolled furthest, and for 10 s with `workgroup`.
  if (device.adapter.software) return /swiftshader/i.test(device.adapter.name) ? "workgroup" : possible[0];
  const key = device.variants.length ? `${device.adapter.name}, ${device.build}` : device.adapter.name;
  const known = (await cache.get(key)) as Tiling | undefined;
  if (known && possible.includes(known)) return known;
  const fastest = await fastestTiling(device, probes);
  await cache.set(key, fastest);
  return fastest;
}

/** Under two seconds where a shader compiles in milliseconds. */
export async function fastestTiling(device: WebGpuDevice, probes: readonly Probe[]): Promise<Tiling> {
  const begin = performance.now();
  const before = device.tiling;
  let size = LEAST_SIZE;
  await time(device, probes, size); // compiles
  while (size < MOST_SIZE && (await time(device, probes, size)) < ENOUGH) size *= 2;
  const best = new Map<Tiling, number>();
  for (let round = 0; round < ROUNDS && (round < 1 || performance.now() - begin < BUDGET); round++) {
    for (const tiling of tilingsOf(device.variants)) {
      device.tiling = tiling;
      if (round === 0) await time(device, probes, LEAST_SIZE); // compiles
      best.set(tiling, Math.min(best.get(tiling) ?? Infinity, await time(device, probes, size)));
    }
  }
  device.tiling = before;
  return [...best].reduce((a, b) => (b[1] < a[1] ? b : a))[0];
}

async function time(device: WebGpuDevice, probes: readonly Probe[], size: number): Promise<number> {
  const calls = probes.map(({ op, params: at }) => {
    const params = at(size);
    const operands = op.operands.map(({ name, dtype, shape }) => [name, device.allocate(typeof dtype === "string" ? dtype : dtype[0], shape(params), name)] as const);
    return { op, params, operands: Object.fromEntries(operands) };
  });
  await device.finish();
  const begin = performance.now();
  for (const { op, operands, params } of calls) device.run(op, operands, params);
  await device.finish();
  const took = performance.now() - begin;
  for (const { operands } of calls) for (const tensor of Object.values(operands)) device.free(tensor);
  return took;
}
