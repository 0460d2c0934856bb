import type { DType, TypedArray } from "./dtype.ts";
import type { NibbleError } from "./errors.ts";
import type { Op, Operands, Params } from "./op.ts";
import type { Tensor } from "./tensor.ts";

export interface DeviceMemory {
  /** Bytes allocated now. */
  readonly live: number;
  /** The most that were allocated at once. */
  readonly peak: number;
  /** Buffers allocated now. */
  readonly buffers: number;
  /** The most bytes that may be allocated at once; Infinity when nobody has set a limit. */
  readonly limit: number;
}

/**
 * Owns buffers and runs ops in the order they were given.
 * `run` and `write` only queue; `read` and `finish` wait for everything before them.
 */
export interface Device {
  readonly kind: "wasm" | "webgpu" | "reference";
  /** For the log: `wasm (relaxed SIMD, 1 thread)`. */
  readonly description: string;
  /** What results depend on besides the inputs: `simd`, `relaxed`, or a shader variant. */
  readonly build: string;
  readonly memory: DeviceMemory;
  /** Resolves when the driver takes the device away; whoever made it may make another and go on. */
  readonly lost?: Promise<NibbleError>;
  /** Why every call fails from now on: the device was lost, or told an error late. */
  readonly fault?: NibbleError | undefined;
  /** Takes a new device from the driver in place of one with a `fault`; every tensor is gone. @throws DeviceError when there is none */
  revive?(): Promise<void>;
  /** Workers, each with scratch memory of its own. */
  readonly threads?: number;
  /** Contents are undefined. @throws MemoryError */
  allocate(dtype: DType, shape: readonly number[], label: string): Tensor;
  /** As `allocate`, for memory that is welcome but not needed: undefined when there is none. */
  tryAllocate(dtype: DType, shape: readonly number[], label: string): Promise<Tensor | undefined>;
  free(tensor: Tensor): void;
  /** Allocates what `run` of this op would allocate for itself, so that running it allocates nothing. @throws MemoryError */
  reserve<O extends string, P extends string>(op: Op<O, P>, params: Params<P>): void;
  /** Copies `data` (bits for f16/bf16) to the start of the tensor, after all ops queued before. */
  write(tensor: Tensor, data: TypedArray): void;
  /** Checks the call against the contract, then queues it. @throws ShapeError */
  run<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void;
  /** A copy of what it is after all ops queued before, and before those queued later; in the beginning of `into` if the device can use it. */
  read(tensor: Tensor, into?: TypedArray): Promise<TypedArray>;
  finish(): Promise<void>;
  /** Seconds that the ops which `work` queues took by the device's own clock; undefined where it has none. */
  time?(work: () => void): Promise<number | undefined>;
  dispose(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}
