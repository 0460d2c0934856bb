import type { Device } from "../../device.ts";
import type { ModelConfig } from "../../format/checkpoint.ts";
import type { SourceFolder } from "../../io/types.ts";
import type { Llama } from "../../nn/llama.ts";
import { loadLlama } from "../load-llama.ts";
import { openModel } from "../open-model.ts";

/** As `train` quantizes what is not in 4 bits yet. */
export const QUANTIZATION = { type: "nf4", blocksize: 64, doubleQuant: true } as const;

/** The model in NF4 with double quantization, as `train` holds it. */
export async function loadQuantized(device: Device, model: SourceFolder): Promise<{ llama: Llama; config: ModelConfig }> {
  const checkpoint = await openModel(model);
  try {
    const llama = await loadLlama(device, checkpoint, { quantization: QUANTIZATION });
    return { llama, config: checkpoint.config };
  } finally {
    await checkpoint.close();
  }
}

/** `models/smollm2.gguf` → `smollm2.gguf` */
export function shortName({ name }: SourceFolder): string {
  return name.split(/[\\/]/).filter(Boolean).at(-1) ?? name;
}

/** Token ids that jump about in the vocabulary, the same on every call. */
export function someIds(n: number, vocab: number, from: number): Int32Array {
  return Int32Array.from({ length: n }, (_, i) => ((from + i + 1) * 7919) % vocab);
}
