import type { Device } from "../device.ts";
import { MemoryError, ShapeError } from "../errors.ts";
import type { Checkpoint, WeightTensor } from "../format/checkpoint.ts";
import type { Llama } from "../nn/llama.ts";
import { MeasuringDevice } from "../pager/measuring-device.ts";
import { LEAST_FRAMES, ROOM, type PagingOptions } from "../pager/pager.ts";
import { elementsOf } from "../tensor.ts";
import { loadLlama, type LoadOptions } from "./load-llama.ts";

/**
 * Everything that a run allocates besides the model, arranged in one of several ways.
 * @returns bytes that it will take in host memory, beside the device: for a CPU under the same limit
 */
type Work<A> = (model: Llama, arrangement: A) => number | Promise<number>;

export interface Fit<A> {
  /** What to give `loadLlama` as `paging`. */
  readonly paging: PagingOptions | undefined;
  readonly arrangement: A;
}

/**
 * Decides what is paged: the base only when frames are asked for, or when it and the work on it exceed the device's limit, and
 * then the first arrangement of the work with which all fits.
 * @param arrangements from the one that moves least to the one that needs least
 * @throws MemoryError naming the smallest limit that works
 */
export async function fitMemory<A>(device: Device, checkpoint: Checkpoint, options: LoadOptions, arrangements: readonly [A, ...A[]], work: Work<A>): Promise<Fit<A>> {
  const { program, ...paging } = options.paging ?? {};
  const taken = program?.() ?? 0;
  const { limit } = device.memory;
  checkPaging(paging);
  const needs = (arrangement: A, frames?: number): Promise<Needs> => measure(device, checkpoint, { ...options, paging: frames ? { ...paging, frames } : undefined }, (model) => work(model, arrangement));
  const beside = ({ host }: Needs): number => (program ? taken + host : 0);
  let smallest = Infinity;
  if (paging.frames === undefined) {
    const resident = await needs(arrangements[0]);
    smallest = resident.peak + ROOM + beside(resident);
    if (smallest <= limit) return { paging: undefined, arrangement: arrangements[0] };
  }
  for (const arrangement of arrangements) {
    const paged = await needs(arrangement, LEAST_FRAMES);
    const least = leastOf(paged) + beside(paged);
    if (least <= limit) return { paging: paged.frames === undefined ? undefined : { ...paging, program: () => beside(paged) }, arrangement };
    smallest = Math.min(smallest, least);
  }
  throw new MemoryError("memory", `limit for ${checkpoint.name} and this work`, {
    expected: `at least ${smallest} bytes`, got: limit,
    hint: "a smaller batch or max_length needs less, and in training a smaller rank: saving a checkpoint holds the adapter several times",
  });
}

/** Bytes of the device for a run with as few frames as work. */
export async function smallestLimit(device: Device, checkpoint: Checkpoint, options: LoadOptions, work: (model: Llama) => Promise<void>): Promise<number> {
  return leastOf(await measure(device, checkpoint, { ...options, paging: { ...options.paging, frames: LEAST_FRAMES } }, (model) => work(model).then(() => 0)));
}

function leastOf({ peak, frames }: Needs): number {
  return Math.max(peak + ROOM, frames ?? 0);
}

function checkPaging({ frames, hostMemory }: PagingOptions = {}): void {
  if (frames !== undefined && !(Number.isInteger(frames) && frames >= LEAST_FRAMES)) throw new ShapeError("paging", "frames", { expected: "a whole number of at least 2", got: frames });
  if (hostMemory !== undefined && !(hostMemory >= 0)) throw new ShapeError("paging", "hostMemory", { expected: "bytes, 0 or more", got: hostMemory });
}

/** Most bytes of a run without frames, what it needs in all with two of them (undefined when nothing can be paged), and on the host. */
interface Needs { readonly peak: number; readonly frames: number | undefined; readonly host: number }

async function measure(device: Device, checkpoint: Checkpoint, options: LoadOptions, work: (model: Llama) => number | Promise<number>): Promise<Needs> {
  const measuring = new MeasuringDevice(device);
  const zeros = growingZeros();
  const tensors = new Map([...checkpoint.tensors].map(([name, tensor]) => [name, blank(tensor, zeros)]));
  const model = await loadLlama(measuring, { ...checkpoint, tensors }, { ...options, onProgress: undefined });
  const host = await work(model);
  return { peak: measuring.memory.peak, frames: model.pager?.smallestLimit, host };
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
