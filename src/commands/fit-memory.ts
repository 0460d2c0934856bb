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
  const paged = await smallestLimit(device, checkpoint, options, work);
  if (paged === undefined) return undefined; // loading tells what does not fit
  const smallest = Math.min(paged, resident.peak + ROOM);
  if (smallest > limit) {
    throw new MemoryError("memory", `limit for ${checkpoint.name} and this work`, {
      expected: `at least ${smallest} bytes`, got: limit,
      hint: "a smaller batch or max_length needs less, and so does gradient checkpointing",
    });
  }
  return paging ?? {};
}

/** Bytes of a run with as few frames as work; undefined when nothing is in 4 bits, so that nothing can be paged. */
export async function smallestLimit(device: Device, checkpoint: Checkpoint, options: LoadOptions, work: Work): Promise<number | undefined> {
  const { peak, frames } = await measure(device, checkpoint, { ...options, paging: { ...options.paging, frames: 2 } }, work);
  return frames && Math.max(peak + ROOM, frames);
}

function checkPaging({ frames, hostMemory }: PagingOptions = {}): void {
  if (frames !== undefined && !(Number.isInteger(frames) && frames >= 2)) throw new ShapeError("paging", "frames", { expected: "a whole number of at least 2", got: frames });
  if (hostMemory !== undefined && !(hostMemory >= 0)) throw new ShapeError("paging", "hostMemory", { expected: "bytes, 0 or more", got: hostMemory });
}

/** Most bytes of a run without frames, and what it needs in all with two of them. */
async function measure(device: Device, checkpoint: Checkpoint, options: LoadOptions, work: Work): Promise<{ peak: number; frames: number | undefined }> {
  const measuring = new MeasuringDevice(device);
  const zeros = growingZeros();
  const tensors = new Map([...checkpoint.tensors].map(([name, tensor]) => [name, blank(tensor, zeros)]));
  const model = await loadLlama(measuring, { ...checkpoint, tensors }, { ...options, onProgress: undefined });
  await work(model);
  return { peak: measuring.memory.peak, frames: model.pager?.smallestLimit };
}

/** The same tensor without its bytes: nothing is read to measure, and all of it is one piece of zeros. */
function blank(tensor: WeightTensor, zeros: (bytes: number) => ArrayBuffer): WeightTensor {
  const bytes = (n: number): Uint8Array => new Uint8Array(zeros(n), 0, n);
  const floats = (n: number): Float32Array => new Float32Array(zeros(4 * n), 0, n);
  if (tensor.kind === "dense") return { ...tensor, read: async (begin, end) => (tensor.dtype === "f32" ? floats(end - begin) : new Uint16Array(zeros(2 * (end - begin)), 0, end - begin)) };
  const blocks = Math.ceil(elementsOf(tensor.shape) / tensor.state.blocksize);
  return { ...tensor, packed: async (begin, end) => bytes(end - begin), absmax: async () => (tensor.state.nested ? bytes(blocks) : floats(blocks)) };
}

function growingZeros(): (bytes: number) => ArrayBuffer {
  let buffer = new ArrayBuffer(0);
  return (bytes) => (buffer.byteLength >= bytes ? buffer : (buffer = new ArrayBuffer(bytes)));
}
