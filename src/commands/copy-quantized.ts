import type { Bnb4Tensor } from "../format/checkpoint.ts";
import type { QuantizedPlan } from "../format/model-writer.ts";
import type { QuantState } from "../format/quant-state.ts";
import { CHUNK } from "./read-tensor.ts";
import { firstNonFinite, nonFiniteError, type TargetOptions } from "./write-tensor.ts";

/** Whether writing a tensor with this state as planned would only quantize it again. */
export function isStoredAs(state: QuantState, plan: QuantizedPlan): boolean {
  return state.quantType === plan.quantType && state.blocksize === plan.blocksize && state.dtype === plan.dtype && (state.nested !== undefined) === plan.doubleQuant;
}

/** A tensor in 4 bits, byte by byte: quantizing it again would move its constants a little. */
export async function copyQuantized({ writer, where, nan }: TargetOptions, source: Bnb4Tensor, signal: AbortSignal | undefined, progress: (part: number) => void): Promise<void> {
  const { name, shape, state, quantMap, nestedAbsmax, nestedQuantMap } = source;
  const bytes = Math.ceil(shape.reduce((a, b) => a * b, 1) / 2);
  for (let at = 0; at < bytes; at += CHUNK) {
    signal?.throwIfAborted();
    const end = Math.min(at + CHUNK, bytes);
    await writer.write(name, at, await source.packed(at, end));
    progress(end / bytes);
  }
  const absmax = await source.absmax();
  const scales = absmax instanceof Float32Array ? absmax : nestedAbsmax!;
  const bad = nan === "refuse" ? firstNonFinite(scales, "float32") : -1;
  if (bad >= 0) throw nonFiniteError(where, `${name}.${state.nested ? "nested_absmax" : "absmax"}`, bad, scales[bad]);
  await writer.write(`${name}.absmax`, 0, absmax);
  await writer.write(`${name}.quant_map`, 0, quantMap);
  if (nestedAbsmax && nestedQuantMap) {
    await writer.write(`${name}.nested_absmax`, 0, nestedAbsmax);
    await writer.write(`${name}.nested_quant_map`, 0, nestedQuantMap);
  }
  await writer.writeState(name, state);
}
