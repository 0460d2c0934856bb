import { kernels } from "#quant-kernels";
import type { DType, TypedArray } from "../dtype.ts";
import type { Op, Operands, Params } from "../op.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import { WasmDevice } from "../wasm/device.ts";

/** Values on the device at a time: whole nested blocks of the largest blocksize, 256 · 4096. */
export const CHUNK = 2 ** 20;

/**
 * Tensors of one synchronous computation on a borrowed or transient device, which takes them back at the end.
 * A transient one is garbage afterwards: nothing stays in the module.
 */
export class Workspace {
  readonly #device: WasmDevice;
  readonly #tensors: Tensor[] = [];

  constructor(device: WasmDevice | undefined) {
    this.#device = device ?? WasmDevice.createSync({ wasm: kernels });
  }

  allocate(dtype: DType, length: number, label: string): Tensor {
    const tensor = this.#device.allocate(dtype, [length], label);
    this.#tensors.push(tensor);
    return tensor;
  }

  put(dtype: DType, data: TypedArray, label: string): Tensor {
    const tensor = this.allocate(dtype, data.length, label);
    this.#device.write(tensor, data);
    return tensor;
  }

  write(tensor: Tensor, data: TypedArray): void {
    this.#device.write(tensor, data);
  }

  run<O extends string, P extends string>(op: Op<O, P>, operands: Operands<O>, params: Params<P>): void {
    this.#device.run(op, operands, params);
  }

  /** The first elements of `tensor`, as many as fit, into `target` from `at` on. */
  read(tensor: Tensor, target: TypedArray, at: number, length: number): void {
    target.set(this.#device.readSync(viewTensor(tensor, [length])), at);
  }

  free(): void {
    for (const tensor of this.#tensors.splice(0)) this.#device.free(tensor);
  }
}

/** Runs `work` with a workspace that is given back whatever happens. */
export function withWorkspace<T>(device: WasmDevice | undefined, work: (space: Workspace) => T): T {
  const space = new Workspace(device);
  try {
    return work(space);
  } finally {
    space.free();
  }
}

/** [at, length] of the consecutive parts of n elements. */
export function* chunksOf(n: number, size = CHUNK): Generator<[at: number, length: number]> {
  for (let at = 0; at < n; at += size) yield [at, Math.min(size, n - at)];
}
