import type { Device } from "../device.ts";
import { KernelError, MemoryError } from "../errors.ts";
import type { Tensor } from "../tensor.ts";
import type { Page } from "./page.ts";
import type { Plan } from "./plan.ts";
import { PageStore } from "./store.ts";
import { WriteFence } from "./write-fence.ts";

export interface PagingOptions {
  /** The most frames; by default as many as the device's limit leaves room for. */
  readonly frames?: number | undefined;
  /**
   * Bytes for pages kept in host memory, outside the device: activations and optimizer states first, what exceeds it goes to a
   * file. By default all that there are, on the CPU none of the base, which has its file right below.
   */
  readonly hostMemory?: number | undefined;
  /** Bytes of the device's limit that the program takes beside the device, asked when memory is planned: for a CPU, whose memory is the program's too. */
  readonly program?: (() => number) | undefined;
}

export interface PagingStats {
  /** Where the frames are. */
  readonly device: Device["kind"];
  /** Bytes that are allocated there now, for everything, and the most that may be; Infinity without a limit. */
  readonly deviceBytes: number;
  readonly deviceLimit: number;
  readonly pages: number;
  /** Pages that are in frames now. */
  readonly resident: number;
  /** Of all pages and of those, how many are layers; the others are slices of the head. */
  readonly layers: number;
  readonly residentLayers: number;
  /** Micro-batches that pass a page while it is there: those of a whole step where memory has room for them. */
  readonly microBatchesTogether: number;
  readonly frames: number;
  readonly frameBytes: number;
  /** The most bytes that frames took. */
  readonly peakFrameBytes: number;
  /** The most bytes of pages in host memory, outside the device. */
  readonly peakHostBytes: number;
  /** Pages of the base copied into frames. */
  readonly loads: number;
  /** Bytes copied to the device: of the base, and what lies on the host between uses. */
  readonly bytesUp: number;
  /** … and back: never of the base, which nobody writes. */
  readonly bytesDown: number;
  /** Of these, the inputs of layers, and AdamW's states; as many go up again. */
  readonly activationBytes: number;
  readonly optimizerBytes: number;
  /** Bytes of both that lie in a file, since host memory does not hold them. */
  readonly spilledBytes: number;
  /** Bytes read from files. */
  readonly bytesRead: number;
  /** Loads that had to wait for a file, and for how long. */
  readonly stalls: number;
  readonly stallSeconds: number;
}

/** Least frames that work: one to compute with while the other is filled. */
export const LEAST_FRAMES = 2;
/** Left alone for what the device allocates for itself in its first step: scratch, read-backs, copies of views. */
export const ROOM = 2 ** 19;

/**
 * Lends the frames of a device to the pages of a model that does not fit: Belady's choice of the victim, which a known
 * order of uses makes possible, needs the fewest loads there can be. With a frame for every page nothing moves any more.
 *
 * A training sweep uses P pages upwards, then downwards, and with k frames loads 2 · (P − k) of them, which nobody can
 * better: only k pages are there when a sweep begins.
 */
export class Pager {
  readonly pages: readonly Page[];
  readonly frameBytes: number;
  /** Micro-batches that share a sweep. */
  together = 1;
  readonly #device: Device;
  #options: PagingOptions;
  readonly #store: PageStore;
  readonly #program: number;
  #frames: Tensor[] = []; // u8[frameBytes] each
  #free: Tensor[] = [];
  readonly #resident = new Map<number, Tensor>(); // page → its frame
  #plan: Plan | undefined;
  #place = -1;
  readonly #fence: WriteFence;
  #peakFrameBytes = 0;
  #peakHostBytes = 0;
  #loads = 0;
  #bytesUp = 0;
  #stalls = 0;
  #stallSeconds = 0;

  constructor(device: Device, pages: readonly Page[], options: PagingOptions = {}) {
    this.#device = device;
    this.pages = pages;
    this.#options = options;
    this.#fence = new WriteFence(device);
    this.frameBytes = Math.max(...pages.map(({ bytes }) => bytes));
    this.#program = options.program?.() ?? 0;
    this.#store = new PageStore(pages, options.hostMemory ?? Infinity);
  }

  get stats(): PagingStats {
    const { bytesRead } = this.#store.stats;
    const { live, limit } = this.#device.memory;
    const count = (pages: readonly Page[]): number => pages.filter(({ kind }) => kind === "layer").length;
    return {
      device: this.#device.kind, deviceBytes: live, deviceLimit: limit,
      pages: this.pages.length, resident: this.#resident.size, layers: count(this.pages), residentLayers: count([...this.#resident.keys()].map((i) => this.pages[i])), microBatchesTogether: this.together, frames: this.#frames.length, frameBytes: this.frameBytes,
      peakFrameBytes: this.#peakFrameBytes, peakHostBytes: this.#peakHostBytes, loads: this.#loads, bytesUp: this.#bytesUp, bytesDown: 0, activationBytes: 0, optimizerBytes: 0, spilledBytes: 0,
      bytesRead, stalls: this.#stalls, stallSeconds: this.#stallSeconds,
    };
  }

  /**
   * Begins a sweep that uses the pages as the plan says. The first one allocates the frames, with the memory that is left:
   * whatever else the run needs is there by then.
   * @throws MemoryError naming the smallest limit that works
   */
  async begin(plan: Plan): Promise<void> {
    this.#plan = plan;
    this.#place = -1;
    if (!this.#frames.length) await this.#allocateFrames();
  }

  get #least(): number {
    return Math.min(LEAST_FRAMES, this.pages.length);
  }

  /** What frames leave alone. On the CPU the page that is being read is under the same limit, and holes among tensors are too small for a frame. */
  get #room(): number {
    return this.#device.kind === "wasm" ? Math.max(ROOM, Math.min(this.frameBytes, 2 ** 21)) + this.#store.stats.hostBytes + this.#program : ROOM;
  }

  /** The smallest limit with which a run works that needs no more than what is allocated now. */
  get smallestLimit(): number {
    return this.#device.memory.live + this.#room + this.#least * this.frameBytes;
  }

  /** Frames that would fit beside `bytes` more of other things. */
  #fit(bytes = 0): number {
    const { live, limit } = this.#device.memory;
    return Math.floor((limit - live - bytes - this.#room) / this.frameBytes);
  }

  #most(bytes = 0): number {
    return Math.min(this.pages.length, this.#options.frames ?? Infinity, this.#fit(bytes));
  }

  /**
   * How many of `count` sweeps to make one, when every further one in it takes `bytes` that frames do not get: as many as
   * make the fewest pages be loaded. 1 once there are frames.
   */
  bestTogether(count: number, bytes: number): number {
    let best = 1;
    let fewest = Infinity;
    for (let together = 1; together <= count && !this.#frames.length; together++) {
      const frames = this.#most((together - 1) * bytes);
      const loads = frames < this.#least ? Infinity : Math.ceil(count / together) * (this.pages.length - frames);
      if (loads < fewest) [best, fewest] = [together, loads];
    }
    return best;
  }

  async #allocateFrames(): Promise<void> {
    const least = this.#least;
    const fit = this.#fit();
    const wanted = this.#most();
    while (this.#frames.length < wanted) {
      const frame = await this.#device.tryAllocate("u8", [this.frameBytes], `frame ${this.#frames.length}`);
      if (!frame) break;
      this.#frames.push(frame);
    }
    // There was less memory than the limit promised: leave some of it for everybody else.
    if (this.#frames.length < wanted && this.#frames.length > least) this.#device.free(this.#frames.pop()!);
    if (this.#frames.length < least) {
      this.release();
      const smallest = this.smallestLimit;
      throw new MemoryError("paging", "memory for frames", {
        expected: `at least ${smallest} bytes in all, ${least} pages of them`,
        got: fit < least ? this.#device.memory.limit : "less from the system",
        hint: "use a smaller batch or max_length, gradient checkpointing, or a larger budget",
      });
    }
    this.#free = [...this.#frames];
    this.#peakFrameBytes = Math.max(this.#peakFrameBytes, this.#frames.length * this.frameBytes);
  }

  /** Brings the next page of the plan into a frame, where it stays until the next call. */
  async use(page: number): Promise<void> {
    const plan = this.#plan!;
    if (plan.uses[this.#place] !== page) this.#place++;
    if (plan.uses[this.#place] !== page) throw new KernelError("paging", "use of a page out of order", { expected: plan.uses[this.#place], got: page });
    if (!this.#resident.has(page)) await this.#load(page, plan);
    const next = this.#frames.length < this.pages.length ? plan.nextMissing(this.#place, (p) => !this.#resident.has(p)) : undefined;
    if (next !== undefined) this.#store.prefetch(next);
  }

  async #load(page: number, plan: Plan): Promise<void> {
    this.#store.prefetch(page);
    await this.#fence.pass();
    const bytes = await this.#bytes(page);
    const frame = this.#free.pop() ?? this.#evict(plan);
    this.#device.write(frame, bytes);
    this.#resident.set(page, frame);
    this.#loads++;
    this.#bytesUp += bytes.length;
    this.#peakHostBytes = Math.max(this.#peakHostBytes, this.#store.stats.hostBytes);
  }

  async #bytes(page: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#store.ready(page)) return this.#store.bytes(page);
    const began = performance.now();
    const bytes = await this.#store.bytes(page);
    this.#stalls++;
    this.#stallSeconds += (performance.now() - began) / 1000;
    return bytes;
  }

  /** The device runs in order, so a frame may be written to as soon as everything that reads it is queued. */
  #evict(plan: Plan): Tensor {
    const victim = plan.farthest(this.#resident.keys(), this.#place);
    const frame = this.#resident.get(victim)!;
    this.#resident.delete(victim);
    return frame;
  }

  /** A part of a page that is in use. */
  tensor(page: number, part: number): Tensor {
    const frame = this.#resident.get(page);
    const { name, parts, offsets } = this.pages[page];
    if (!frame) throw new KernelError("paging", `${name} is used`, { expected: "a page in a frame", got: "one that is not there" });
    const { dtype, elements, label } = parts[part];
    return { dtype, shape: [elements], buffer: frame.buffer, byteOffset: frame.byteOffset + offsets[part], label };
  }

  /** From the next sweep on there are at most so many frames; what was in them is loaded again. */
  limitFrames(frames: number): void {
    this.release();
    this.#options = { ...this.#options, frames };
  }

  /** The bytes of a page where host memory keeps them. */
  kept(page: number): Uint8Array<ArrayBuffer> | undefined {
    return this.#store.kept(page);
  }

  /** Gives the frames back; the next sweep allocates them again. */
  release(): void {
    for (const frame of this.#frames) this.#device.free(frame);
    this.#frames = [];
    this.#free = [];
    this.#resident.clear();
  }

  /** Files may be closed afterwards. */
  async close(): Promise<void> {
    this.release();
    await this.#store.close();
  }
}
