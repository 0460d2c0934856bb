import type { Device } from "../device.ts";
import { MemoryError, ShapeError } from "../errors.ts";
import type { Checkpoint, WeightTensor } from "../format/checkpoint.ts";
import type { Llama } from "../nn/llama.ts";
import { MeasuringDevice } from "../pager/measuring-device.ts";
import { ROOM, type PagingOptions } from "../pager/pager.ts";
import { elementsOf } from "../tensor.ts";
import { loadLlama, type LoadOptions } from "./load-llama.ts";

/** Everything that a run allocates besides the model. */
type Work = (model: Llama) => unknown;

/**
 * Decides whether a model is paged: only when frames are asked for, or when it and the work on it exceed the device's limit.
 * @returns what to give `loadLlama` as `paging`
 * @throws MemoryError naming the smallest limit that works
 */
export async function fitMemory(device: Device, checkpoint: Checkpoint, options: LoadOptions, work: Work): Promise<PagingOptions | undefined> {
  const { paging } = options;
  const { limit } = device.memory;
  checkPaging(paging);
  if (limit === Infinity && paging?.frames === undefined) return undefined;
  const resident = await measure(device, checkpoint, { ...options, paging: undefined }, work);
  if (paging?.frames === undefined && resident.peak + ROOM <= limit) return undefined;
  const { peak, frames } = await measure(device, checkpoint, { ...options, paging: { ...paging, frames: 2 } }, work);
  if (frames === undefined) return undefined; // nothing in 4 bits to page: loading tells what does not fit
  const smallest = Math.min(Math.max(peak + ROOM, frames), resident.peak + ROOM);
  if (smallest > limit) {
    throw new MemoryError("memory", `limit for ${checkpoint.name} and this work`, {
      expected: `at least ${smallest} bytes`, got: limit,
      hint: "a smaller batch or max_length needs less, and so does gradient checkpointing",
    });
  }
  return paging ?? {};
}

function checkPaging({ frames, hostMemory }: PagingOptions = {}): void {
  if (frames !== undefined && !(Number.isInteger(frames) && frames >= 2)) throw new ShapeError("paging", "frames", { expected: "a whole number of at least 2", got: frames });
  if (hostMemory !== undefined && !(hostMemory >= 0)) throw new ShapeError("paging", "hostMemory", { expected: "bytes, 0 or more", got: hostMemory });
}

/** Most bytes of a run without frames, and what it needs in all with two of them. */
async function measure(device: Device, checkpoint: Checkpoint, options: LoadOptions, work: Work): Promise<{ peak: number; frames: number | undefined }> {
  const measuring = new MeasuringDevice(device);
  const tensors = new Map([...checkpoint.tensors].map(([name, tensor]) => [name, blank(tensor)]));
  const model = await loadLlama(measuring, { ...checkpoint, tensors }, { ...options, onProgress: undefined });
  await work(model);
  return { peak: measuring.memory.peak, frames: model.pager?.smallestLimit };
}

/** The same tensor without its bytes: nothing is read to measure. */
function blank(tensor: WeightTensor): WeightTensor {
  const nothing = (bytes: number): Uint8Array => new Uint8Array(bytes);
  if (tensor.kind === "dense") return { ...tensor, read: async (begin, end) => (tensor.dtype === "f32" ? new Float32Array(end - begin) : new Uint16Array(end - begin)) };
  const blocks = Math.ceil(elementsOf(tensor.shape) / tensor.state.blocksize);
  return { ...tensor, packed: async (begin, end) => nothing(end - begin), absmax: async () => (tensor.state.nested ? nothing(blocks) : new Float32Array(blocks)) };
}
