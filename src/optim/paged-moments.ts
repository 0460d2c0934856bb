import type { Device } from "../device.ts";
import { DirtyPages } from "../pager/dirty-pages.ts";
import type { HostTier } from "../pager/host-tier.ts";
import { PIECE } from "../pager/pieces.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import type { Moment, Moments, MomentsUpdate } from "./moments.ts";

const SLICES = 8; // at least, so that four frames are at most half of both states

/** Frames for one slice of the states. */
interface FrameSet {
  readonly exp_avg: Tensor; // f32[slice]
  readonly exp_avg_sq: Tensor; // f32[slice]
  saved: Promise<unknown>;
}

/**
 * States that lie on the host and pass through two sets of frames in every update, a slice at a time: while one is computed
 * the other goes back. The same sums as without paging. Source: paged optimizers of bitsandbytes, without unified memory.
 */
export class PagedMoments implements Moments {
  readonly pages: DirtyPages; // the slices of exp_avg, then those of exp_avg_sq
  readonly #device: Device;
  readonly #tier: HostTier;
  readonly #length: number;
  readonly #slice: number;
  readonly #slices: number;
  readonly #sets: readonly FrameSet[];

  /** @param slice elements, a multiple of 64: where any binding may begin */
  constructor(tier: HostTier, length: number, slice = sliceOf(length)) {
    this.#tier = tier;
    this.#device = tier.device;
    this.#length = length;
    this.#slice = Math.min(slice, length);
    this.#slices = Math.ceil(length / this.#slice);
    this.pages = new DirtyPages(tier, 2 * this.#slices, this.#slice);
    const frame = (label: string): Tensor => this.#device.allocate("f32", [this.#slice], label);
    this.#sets = Array.from({ length: Math.min(2, this.#slices) }, (_, i) => ({ exp_avg: frame(`exp_avg frame ${i}`), exp_avg_sq: frame(`exp_avg_sq frame ${i}`), saved: Promise.resolve() }));
  }

  get copied(): DirtyPages { return this.pages; }

  prepare(): Promise<void> {
    return this.pages.prepare(this.#sets[0].exp_avg);
  }

  async update(work: MomentsUpdate): Promise<void> {
    for (let i = 0; i < this.#slices; i++) {
      const set = this.#sets[i % this.#sets.length];
      await set.saved;
      const [begin, n] = this.#range(i);
      const [expAvg, expAvgSq] = [viewTensor(set.exp_avg, [n]), viewTensor(set.exp_avg_sq, [n])];
      await this.#tier.fence();
      await this.pages.load(this.#page("exp_avg", i), expAvg);
      await this.pages.load(this.#page("exp_avg_sq", i), expAvgSq);
      work(begin, n, expAvg, expAvgSq);
      set.saved = Promise.all([this.pages.save(this.#page("exp_avg", i), expAvg), this.pages.save(this.#page("exp_avg_sq", i), expAvgSq)]);
      set.saved.catch(() => undefined); // told to the next update, or to whoever reads
    }
  }

  async read(moment: Moment): Promise<Float32Array<ArrayBuffer>> {
    const values = new Float32Array(this.#length);
    for (let i = 0; i < this.#slices; i++) await this.pages.get(this.#page(moment, i), values.subarray(...this.#bounds(i)));
    return values;
  }

  async write(moment: Moment, values: Float32Array<ArrayBuffer>): Promise<void> {
    for (let i = 0; i < this.#slices; i++) await this.pages.put(this.#page(moment, i), values.subarray(...this.#bounds(i)));
  }

  #page(moment: Moment, slice: number): number {
    return moment === "exp_avg" ? slice : this.#slices + slice;
  }

  #range(slice: number): readonly [number, number] {
    const begin = slice * this.#slice;
    return [begin, Math.min(this.#slice, this.#length - begin)];
  }

  #bounds(slice: number): [number, number] {
    const [begin, n] = this.#range(slice);
    return [begin, begin + n];
  }

  dispose(): void {
    for (const { exp_avg, exp_avg_sq } of this.#sets) for (const tensor of [exp_avg, exp_avg_sq]) this.#device.free(tensor);
  }
}

/** Depends on the adapter only, never on a budget. */
function sliceOf(length: number): number {
  return Math.min(PIECE, 64 * Math.ceil(length / SLICES / 64));
}
