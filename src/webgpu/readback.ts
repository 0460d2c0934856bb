import { MODE_READ } from "./constants.ts";
import type { Commands } from "./commands.ts";
import type { Faults } from "./faults.ts";
import type { GpuBuffer, GpuMemory } from "./memory.ts";

const LEAST = 65536; // one size serves every small read of a step
const MOST = 16 * 2 ** 20; // larger tensors come in pieces

/** Copies of GPU memory for the host, through mappable buffers that are kept and used again. */
export class Readback {
  readonly #memory: GpuMemory;
  readonly #commands: Commands;
  readonly #faults: Faults;
  #idle: GpuBuffer[] = [];

  constructor(memory: GpuMemory, commands: Commands, faults: Faults) {
    this.#memory = memory;
    this.#commands = commands;
    this.#faults = faults;
  }

  /**
   * @param offset multiple of 4
   * @param bytes multiple of 4
   * @param into as many bytes, to be filled and returned
   * @throws the first error that the GPU reported up to here
   */
  async read(from: GpuBuffer, offset: number, bytes: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const pieces: Promise<void>[] = [];
    const result = into ?? new Uint8Array(bytes);
    // All copies are recorded now: what is queued after this call does not show in the result.
    for (let at = 0; at < bytes; at += MOST) {
      const size = Math.min(MOST, bytes - at);
      const to = this.#take(size);
      this.#commands.copy(from, offset + at, to, 0, size);
      pieces.push(this.#fetch(to, result.subarray(at, at + size)));
    }
    this.#commands.flush();
    await Promise.all(pieces);
    return result;
  }

  #take(size: number): GpuBuffer {
    // The smallest that will do: a large one is for those who need it.
    const best = this.#idle.filter(({ bytes }) => bytes >= size).sort((a, b) => a.bytes - b.bytes)[0];
    if (best) return this.#idle.splice(this.#idle.indexOf(best), 1)[0];
    return this.#memory.allocate(Math.min(MOST, Math.max(LEAST, 2 ** Math.ceil(Math.log2(size)))), "readback", "read-back");
  }

  async #fetch(from: GpuBuffer, to: Uint8Array): Promise<void> {
    await undefined; // map only after the copy was submitted
    try {
      await from.gpu.mapAsync(MODE_READ, 0, to.length);
    } catch (cause) {
      throw await this.#faults.explain(cause);
    }
    to.set(new Uint8Array(from.gpu.getMappedRange(0, to.length)));
    from.gpu.unmap();
    this.#idle.push(from);
    await this.#faults.settle();
  }
}
