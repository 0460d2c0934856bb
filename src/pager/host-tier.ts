import type { Device } from "../device.ts";
import { MemoryError } from "../errors.ts";
import type { SpillFile } from "../io/types.ts";
import { LANES, PIECE } from "./pieces.ts";
import { WriteFence } from "./write-fence.ts";

export interface HostTierOptions {
  /** Bytes of host memory, outside the device, for pages that the device writes; default: as many as they need. */
  readonly hostMemory?: number | undefined;
  /** Makes the file for what exceeds it; without one exceeding it is an error. */
  readonly openSpill?: (() => Promise<SpillFile>) | undefined;
}

interface Lane {
  tail: Promise<unknown> | undefined; // of the copies under way
  staging: Float32Array<ArrayBuffer> | undefined; // f32[PIECE], once something is in the file
}

/**
 * The lower tiers of what the device writes: host memory up to a limit, then a file. All copies go through two lanes of
 * pieces, so neither a GPU's buffers for reading nor the memory in front of the file grow with what is copied.
 */
export class HostTier {
  readonly device: Device;
  /** Bytes of all pages, wherever they lie. */
  bytes = 0;
  readonly #limit: number;
  readonly #openSpill: (() => Promise<SpillFile>) | undefined;
  readonly #lanes: Lane[] = Array.from({ length: LANES }, () => ({ tail: undefined, staging: undefined }));
  #turn = 0;
  #inMemory = 0;
  #inFile = 0;
  #file: Promise<SpillFile> | undefined;
  readonly #fence: WriteFence;

  constructor(device: Device, { hostMemory = Infinity, openSpill }: HostTierOptions = {}) {
    this.device = device;
    this.#fence = new WriteFence(device);
    this.#limit = hostMemory;
    this.#openSpill = openSpill;
  }

  /** Whether there may not be room for more than was asked about. */
  get limited(): boolean { return this.#limit !== Infinity; }
  get hostBytes(): number { return this.#inMemory; }
  get fileBytes(): number { return this.#inFile; }

  /**
   * Room for `count` pages of one size.
   * @returns how many of them lie in memory, and where the others begin in the file
   * @throws MemoryError, which `check` tells earlier
   */
  place(count: number, bytes: number): { readonly inMemory: number; readonly at: number } {
    this.check(this.bytes += count * bytes);
    const inMemory = Math.min(count, Math.floor((this.#limit - this.#inMemory) / bytes));
    const at = this.#inFile;
    this.#inMemory += inMemory * bytes;
    this.#inFile += (count - inMemory) * bytes;
    return { inMemory, at };
  }

  /** Whether all that will be placed has room. @throws MemoryError naming the smallest budget that works */
  check(bytes: number): void {
    if (bytes <= this.#limit || this.#openSpill) return;
    throw new MemoryError("paging", "host memory for activations and optimizer states", {
      expected: `at least ${bytes} bytes`, got: this.#limit, hint: "a smaller batch, max_length or rank needs less",
    });
  }

  /** Does a copy of one piece when its lane is free: at once, if it is. */
  copy<T>(work: (lane: Lane) => Promise<T>): Promise<T> {
    const lane = this.#lanes[this.#turn++ % LANES];
    const done = lane.tail ? lane.tail.then(() => work(lane)) : work(lane);
    const tail = done.catch(() => undefined).then(() => { if (lane.tail === tail) lane.tail = undefined; });
    lane.tail = tail;
    return done;
  }

  /** To be awaited before what is loaded is written to the device. */
  fence(): Promise<void> {
    return this.#fence.pass();
  }

  static stagingOf(lane: Lane, n: number): Float32Array<ArrayBuffer> {
    return (lane.staging ??= new Float32Array(PIECE)).subarray(0, n);
  }

  file(): Promise<SpillFile> {
    return this.#file ??= this.#openSpill!();
  }

  /** Waits for all copies and removes the file. */
  async close(): Promise<void> {
    await Promise.all(this.#lanes.map(({ tail }) => tail));
    await (await this.#file?.catch(() => undefined))?.close();
  }
}
