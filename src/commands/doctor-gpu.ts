import type { Device } from "../device.ts";
import { copy, matmulNt } from "../ops/index.ts";
import type { Op, Operands, Params } from "../op.ts";

/** How fast a GPU is at the two things that training is made of. */
export interface GpuSpeed {
  /** Of an f32 matrix product. */
  readonly gflopPerSecond: number;
  /** Read and written by a copy. */
  readonly gbPerSecond: number;
  /** Whose clock: the GPU's own timestamps, or the host's, which sees the queue too. */
  readonly clock: "timestamps" | "host";
}

const SIZE = 512; // of the product
const FLOATS = 2 ** 22; // of the copy: 32 MiB in all, below every limit
const LEAST = 0.02; // seconds of one measurement
const MOST_CALLS = 256;
const ROUNDS = 3;

/** A second or two on a software adapter, much less on a GPU. */
export async function measureGpu(device: Device): Promise<GpuSpeed> {
  const make = (n: number, label: string) => device.allocate("f32", [n], label);
  const [x, w, y] = [make(SIZE * SIZE, "x"), make(SIZE * SIZE, "w"), make(SIZE * SIZE, "y")];
  const [from, to] = [make(FLOATS, "from"), make(FLOATS, "to")];
  try {
    const product = await best(device, matmulNt as Op, { x, w, y }, { m: SIZE, n: SIZE, k: SIZE, accumulate: 0 });
    const copied = await best(device, copy as Op, { x: from, y: to }, { n: FLOATS });
    return { gflopPerSecond: (2 * SIZE ** 3) / product.seconds / 1e9, gbPerSecond: (8 * FLOATS) / copied.seconds / 1e9, clock: product.clock };
  } finally {
    for (const tensor of [x, w, y, from, to]) device.free(tensor);
  }
}

/** Seconds of one call: the best of some rounds of as many calls as can be timed well. */
async function best(device: Device, op: Op, operands: Operands, params: Params): Promise<{ seconds: number; clock: GpuSpeed["clock"] }> {
  const round = async (calls: number): Promise<{ seconds: number; clock: GpuSpeed["clock"] }> => {
    const work = (): void => { for (let i = 0; i < calls; i++) device.run(op, operands, params); };
    await device.finish();
    const began = performance.now();
    const measured = await device.time?.(work);
    if (measured) return { seconds: measured / calls, clock: "timestamps" };
    if (measured === undefined) work();
    await device.finish();
    return { seconds: (performance.now() - began) / 1000 / calls, clock: "host" };
  };
  let fastest = await round(1); // compiles
  const calls = Math.min(MOST_CALLS, Math.max(1, Math.ceil(LEAST / (await round(1)).seconds)));
  for (let i = 0; i < ROUNDS; i++) {
    const one = await round(calls);
    if (i === 0 || one.seconds < fastest.seconds) fastest = one;
  }
  return fastest;
}
