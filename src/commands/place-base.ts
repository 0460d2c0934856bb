import type { Checkpoint } from "../format/checkpoint.ts";
import { BatchPass } from "../nn/batch-pass.ts";
import { DecodePass } from "../nn/decode-pass.ts";
import type { Llama } from "../nn/llama.ts";
import type { PagingOptions } from "../pager/pager.ts";
import { fitMemory } from "./fit-memory.ts";
import type { LoadModelOptions } from "./language-model.ts";
import { loadLlama } from "./load-llama.ts";
import { quantizationOf } from "./quantize-while-loading.ts";

const TYPICAL_RANK = 64;

/** The base on the device, as much of it as fits beside a text of the length that is expected. */
export async function placeBase(options: LoadModelOptions, checkpoint: Checkpoint, paging: PagingOptions | undefined): Promise<Llama> {
  const quantization = quantizationOf({ quantize: options.quantize ?? "none", blocksize: options.blocksize ?? 64, doubleQuant: options.doubleQuant ?? true });
  const { device, maxLength: length = 512, onProgress, signal } = options;
  const load = { quantization, onProgress, signal };
  const fit = await fitMemory(device, checkpoint, { ...load, paging }, [undefined], (measured) => {
    new BatchPass(measured, { batch: 1, length, microBatches: 1, rank: TYPICAL_RANK, training: false, recompute: true, dropout: false }).dispose();
    new DecodePass(measured, length, TYPICAL_RANK);
    return 0;
  });
  return loadLlama(device, checkpoint, { ...load, paging: fit.paging });
}
