import type { Device } from "../device.ts";
import type { Bnb4Tensor, DenseTensor } from "../format/checkpoint.ts";
import { codeTable, dynamicTable } from "../format/code-tables.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
import { quantizeWhileLoading, type LoadQuantization } from "./quantize-while-loading.ts";
import { CHUNK } from "./read-tensor.ts";

/** A tensor as it would be after loading it in 4 bits, to be read like one that is stored so. Its 4 bits are held in memory. */
export async function quantizedSource(device: Device, source: DenseTensor, choice: LoadQuantization, signal?: AbortSignal): Promise<Bnb4Tensor> {
  const { name, shape, storageBytes } = source;
  const staging = device.allocate("bf16", [CHUNK], "staging");
  const weight = await quantizeWhileLoading(device, source, staging, choice, signal).finally(() => device.free(staging));
  const packed = (await device.read(weight.packed)) as Uint8Array;
  const absmax = (await device.read(weight.absmax)) as Float32Array | Uint8Array;
  const nested = weight.nested && { nestedAbsmax: (await device.read(weight.nestedAbsmax)) as Float32Array, nestedQuantMap: dynamicTable() };
  for (const tensor of new Set([weight.packed, weight.absmax, weight.code, weight.nestedAbsmax, weight.nestedCode])) device.free(tensor);
  return {
    kind: "bnb4", name, shape, storageBytes, quantMap: codeTable(choice.type), ...nested,
    state: { quantType: choice.type, blocksize: choice.blocksize, dtype: "float32", shape, ...(weight.nested ? { nested: { blocksize: NESTED_BLOCKSIZE, offset: weight.nestedOffset } } : {}) },
    packed: async (begin, end) => packed.subarray(begin, end),
    absmax: async () => absmax,
  };
}
