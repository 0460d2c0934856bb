import type { Device } from "../device.ts";
import type { Pager } from "../pager/pager.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import type { LlamaShape } from "./shape.ts";
import { multiply, type Weight } from "./weight.ts";

const UNIT = 64; // rows of f32 that begin where any device lets a tensor begin, whatever their length

/**
 * Rows of the head that move, and are summed, as one: as many bytes in float32 as a layer's linears have in 4 bits, so
 * that frames of one size suit both. It depends on the model alone: the sums, and with them every bit, do not know a budget.
 */
export function headSlice(shape: LlamaShape): number {
  const { vocabSize, hiddenSize, intermediateSize, numAttentionHeads, numKeyValueHeads, headDim } = shape;
  const weights = hiddenSize * (2 * (numAttentionHeads + numKeyValueHeads) * headDim + 3 * intermediateSize);
  const rows = Math.floor(weights / 2 / (4 * hiddenSize) / UNIT) * UNIT;
  return Math.min(vocabSize, Math.max(UNIT, rows));
}

/** Rows [first, first + weight.out) of a head, which are a page. */
export interface HeadSlice {
  readonly page: number;
  readonly first: number;
  readonly weight: Weight;
}

/** On the device, or in slices that are pages. */
export type Head = Weight | readonly HeadSlice[];

export function isSliced(head: Head): head is readonly HeadSlice[] {
  return Array.isArray(head);
}

/** In the order of their rows. */
export function pagesOf(head: Head): number[] {
  return isSliced(head) ? head.map(({ page }) => page) : [];
}

/** logits[1, vocab] of normed[1, hidden]. The plan of the sweep ends with `pagesOf(head)`. */
export async function multiplyHead(device: Device, pager: Pager | undefined, head: Head, normed: Tensor, logits: Tensor): Promise<void> {
  if (!isSliced(head)) return multiply(device, head, normed, logits, 1);
  for (const { page, first, weight } of head) {
    await pager!.use(page);
    multiply(device, weight, normed, viewTensor(logits, [1, weight.out], first), 1);
  }
}
