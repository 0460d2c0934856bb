import type { Device } from "../device.ts";
import { DirtyPages } from "../pager/dirty-pages.ts";
import type { HostTier } from "../pager/host-tier.ts";
import { viewTensor, type Tensor } from "../tensor.ts";

export interface BoundaryOptions {
  readonly layers: number;
  /** Of the largest batch. */
  readonly rows: number;
  readonly hidden: number;
  /** The backward pass needs the inputs of the layers from this one on; those below it of none. */
  readonly bottom: number;
  /** Whether there is a backward pass. */
  readonly training: boolean;
  /** Keeps inputs there between the passes: only two are on the device at a time. */
  readonly stack?: HostTier | undefined;
}

/**
 * The residual stream between layers: boundary i is the input of layer i, the last one the output. A stack of them waits on
 * the host, pushed in the forward pass, popped in the backward pass, which finds the inputs of the top layer still there.
 */
export class Boundaries {
  /** Bytes that went to the host and came back; undefined when all stay. */
  readonly pages: DirtyPages | undefined;
  readonly #options: BoundaryOptions;
  readonly #tensors: readonly Tensor[]; // f32[rows, hidden]
  #pushing: Promise<void> = Promise.resolve();

  constructor(device: Device, options: BoundaryOptions) {
    const { layers, rows, hidden, bottom, training, stack } = options;
    this.#options = options;
    const count = training && !stack ? layers + 1 : 2;
    this.#tensors = Array.from({ length: count }, (_, i) => device.allocate("f32", [rows, hidden], `residual.${i}`));
    if (training && stack) this.pages = new DirtyPages(stack, Math.max(0, layers - 1 - bottom), rows * hidden);
  }

  at(i: number): Tensor {
    return this.#tensors[i % this.#tensors.length];
  }

  async prepare(): Promise<void> {
    await this.pages?.prepare(this.#tensors[0]);
  }

  /** Before layer i runs forward: its output takes the place of input i − 1, which must have been copied by then. */
  async push(i: number, rows: number): Promise<void> {
    const before = this.#pushing;
    if (this.#stacked(i)) this.#pushing = this.pages!.save(i - this.#options.bottom, this.#used(i, rows));
    await before;
  }

  /** Before layer i runs again and backward. The copy has its place among the ops, after those that used the frame. */
  async pop(i: number, rows: number): Promise<void> {
    if (!this.#stacked(i)) return;
    await this.#pushing;
    await this.#options.stack!.fence();
    await this.pages!.load(i - this.#options.bottom, this.#used(i, rows));
  }

  #stacked(i: number): boolean {
    return this.pages !== undefined && i >= this.#options.bottom && i < this.#options.layers - 1;
  }

  #used(i: number, rows: number): Tensor {
    return viewTensor(this.at(i), [rows, this.#options.hidden]);
  }

  get tensors(): readonly Tensor[] {
    return this.#tensors;
  }
}
