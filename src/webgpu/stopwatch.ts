import type { Commands } from "./commands.ts";
import type { GpuMemory } from "./memory.ts";
import type { Readback } from "./readback.ts";

const STAMP = 8; // bytes: nanoseconds as u64
const RESOLVE_ALIGN = 256;

/** The GPU's own clock, for benchmarks and `doctor`: training is never timed with it. */
export class Stopwatch {
  readonly #device: GPUDevice;
  readonly #memory: GpuMemory;
  readonly #commands: Commands;
  readonly #readback: Readback;

  constructor(device: GPUDevice, memory: GpuMemory, commands: Commands, readback: Readback) {
    this.#device = device;
    this.#memory = memory;
    this.#commands = commands;
    this.#readback = readback;
  }

  /** Seconds from the beginning to the end of what `work` queues; undefined on a GPU without timestamps. */
  async time(work: () => void): Promise<number | undefined> {
    if (!this.#device.features.has("timestamp-query")) return undefined;
    const stamps = this.#device.createQuerySet({ type: "timestamp", count: 2 });
    const resolved = this.#memory.allocate(RESOLVE_ALIGN, "resolve", "timestamps");
    try {
      this.#commands.stamp({ querySet: stamps, endOfPassWriteIndex: 0 });
      work();
      this.#commands.stamp({ querySet: stamps, beginningOfPassWriteIndex: 1 });
      this.#commands.encode((encoder) => encoder.resolveQuerySet(stamps, 0, 2, resolved.gpu, 0));
      const [begin, end] = new BigUint64Array((await this.#readback.read(resolved, 0, 2 * STAMP)).buffer);
      return Number(end - begin) / 1e9;
    } finally {
      this.#commands.free(resolved);
      stamps.destroy();
    }
  }
}
