import { BatchPass, type BatchPassOptions } from "../nn/batch-pass.ts";
import type { Llama } from "../nn/llama.ts";
import type { TrainOptions } from "./train-options.ts";

/** What of a training run lies where, besides the base. None of it changes a bit of the result. */
export interface Arrangement {
  /** `auto`: when kept activations would take more than `activationMemory`. */
  readonly recompute: boolean | "auto";
  /** The inputs of the layers wait on the host between forward and backward; implies recomputing. */
  readonly stacked: boolean;
  /** AdamW's states lie on the host. */
  readonly pagedOptimizer: boolean;
}

/** From the one that moves least to the one that needs least. */
export function arrangementsOf({ gradientCheckpointing: wanted, activationOffloading: stacked, optim }: TrainOptions): [Arrangement, ...Arrangement[]] {
  const plain: Arrangement = { recompute: stacked || wanted, stacked, pagedOptimizer: optim === "paged_adamw" };
  const frugal: Partial<Arrangement>[] = [{ recompute: true }, { stacked: true }];
  const ladder: [Arrangement, ...Arrangement[]] = [plain];
  // Without recomputing, what is kept of every layer dwarfs its input.
  for (const step of [...(wanted === false ? [] : frugal), { pagedOptimizer: true }]) {
    const before = ladder[ladder.length - 1];
    const next = { ...before, ...step };
    if (JSON.stringify(next) !== JSON.stringify(before)) ladder.push(next);
  }
  return ladder;
}

/** Whether a pass recomputes. @param activationMemory bytes from which `auto` does */
export function recomputes({ recompute }: Arrangement, model: Llama, sizes: Omit<BatchPassOptions, "recompute">, activationMemory: number): boolean {
  return recompute === "auto" ? BatchPass.bytes(model, { ...sizes, recompute: false }) > activationMemory : recompute;
}
