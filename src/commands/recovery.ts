import type { Device } from "../device.ts";
import { DeviceError, MemoryError } from "../errors.ts";
import { LEAST_FRAMES, type Pager, type PagingOptions } from "../pager/pager.ts";

/** That a device failed, and how the work goes on. */
export interface Recovered {
  readonly reason: "lost" | "memory";
  /** What the device said. */
  readonly error: Error;
  /** The most frames from now on; undefined when that has not changed. */
  readonly frames: number | undefined;
}

/**
 * What becomes of work whose device failed: a lost one is replaced as long as the work gets further in between; one that
 * ran out of memory is replaced too, and gets a quarter fewer frames, until there are two.
 */
export class Recovery {
  /** Limits of paging for the next try. */
  paging: PagingOptions | undefined;
  readonly #device: Device;
  readonly #layers: number;
  #done = -1;

  /** @param layers frames that are worth having */
  constructor(device: Device, paging: PagingOptions | undefined, layers: number) {
    this.#device = device;
    this.paging = paging;
    this.#layers = layers;
  }

  /**
   * Replaces the device, on which nothing is left then.
   * @param done grows as the work gets on
   * @throws `error` when it is none of the device's, or another device would not help
   */
  async from(error: unknown, done: number, pager: Pager | undefined): Promise<Recovered> {
    const { fault } = this.#device;
    if (!fault || !this.#device.revive) throw error;
    if (fault instanceof MemoryError) this.paging = { ...this.paging, frames: this.#fewerFrames(pager, fault) };
    else if (!(fault instanceof DeviceError)) throw error;
    else if (done === this.#done) throw new DeviceError("webgpu", "the device was lost again at once", { got: fault.message.split("\n")[0], hint: "use a smaller batch or max_length, or the device wasm; checkpoints are untouched", cause: fault });
    else this.#done = done;
    await this.#device.revive();
    return fault instanceof MemoryError ? { reason: "memory", error: fault, frames: this.paging!.frames } : { reason: "lost", error: fault, frames: undefined };
  }

  #fewerFrames(pager: Pager | undefined, fault: MemoryError): number {
    const { frames: allowed = Infinity } = this.paging ?? {};
    const before = pager?.stats.frames || Math.min(allowed, pager?.pages.length ?? this.#layers);
    const frames = Math.max(LEAST_FRAMES, Math.floor(0.75 * before));
    if (frames >= before) throw fault;
    return frames;
  }
}
