import { DirtyPages } from "../pager/dirty-pages.ts";
import type { HostTier } from "../pager/host-tier.ts";
import type { Tensor } from "../tensor.ts";

/**
 * The inputs of a micro-batch's layers, from layer `bottom` on, on the host between forward and backward: pushed upwards, popped
 * downwards. The device has two tensors for them, which take turns; the top layer's input never leaves.
 */
export class BoundaryStack {
  readonly pages: DirtyPages;
  readonly #tier: HostTier;
  readonly #bottom: number;
  readonly #top: number;
  #pushing: Promise<void> = Promise.resolve();

  /** @param elements of the largest input */
  constructor(tier: HostTier, layers: number, bottom: number, elements: number) {
    this.#tier = tier;
    this.#bottom = bottom;
    this.#top = layers - 1;
    this.pages = new DirtyPages(tier, Math.max(0, this.#top - bottom), elements);
  }

  /** Before layer i runs forward: its output takes the place of input i − 1, which must have been copied by then. */
  async push(i: number, input: Tensor): Promise<void> {
    const before = this.#pushing;
    if (this.#has(i)) this.#pushing = this.pages.save(i - this.#bottom, input);
    await before;
  }

  /** Before layer i runs again and backward. The copy has its place among the ops, after those that used the tensor. */
  async pop(i: number, input: Tensor): Promise<void> {
    if (!this.#has(i)) return;
    await this.#tier.fence();
    await this.pages.load(i - this.#bottom, input);
  }

  #has(i: number): boolean {
    return i >= this.#bottom && i < this.#top;
  }
}
