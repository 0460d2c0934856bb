import type { Device } from "../../device.ts";
import type { ModelConfig } from "../../format/checkpoint.ts";
import type { SourceFolder } from "../../io/types.ts";
import type { Llama } from "../../nn/llama.ts";
import type { Pager } from "../../pager/pager.ts";
import { Plan } from "../../pager/plan.ts";
import { loadLlama } from "../load-llama.ts";
import { openModel } from "../open-model.ts";

/** The same with `frames` pages on the device at a time, and all of them in host memory. */
export async function loadPaged(device: Device, model: SourceFolder, frames: number): Promise<{ llama: Llama; pager: Pager }> {
  const checkpoint = await openModel(model);
  const llama = await loadLlama(device, checkpoint, { quantization: { type: "nf4", blocksize: 64, doubleQuant: true }, paging: { frames, hostMemory: Infinity } });
  const pager = llama.pager!;
  const plan = new Plan(pager.pages.map((_, i) => i));
  await pager.begin(plan); // every page is read once, and kept
  for (const page of plan.uses) await pager.use(page);
  if (checkpoint.config.tieWordEmbeddings) await checkpoint.close(); // else the embedding's rows are read from it
  return { llama, pager };
}

/** The model in NF4 with double quantization, as `train` holds it. */
export async function loadQuantized(device: Device, model: SourceFolder): Promise<{ llama: Llama; config: ModelConfig }> {
  const checkpoint = await openModel(model);
  try {
    const llama = await loadLlama(device, checkpoint, { quantization: { type: "nf4", blocksize: 64, doubleQuant: true } });
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
