import { bytesOf, type DType } from "./dtype.ts";
import { ShapeError } from "./errors.ts";

/** Memory that a device owns. What it is, only that device knows. */
export interface DeviceBuffer {
  readonly bytes: number;
}

/** dtype + shape (row-major) + the buffer that holds it, from `byteOffset` on. */
export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly buffer: DeviceBuffer;
  readonly byteOffset: number;
  /** For messages: `model.layers.0.mlp.up_proj.weight`. */
  readonly label: string;
}

export function elementsOf(shape: readonly number[]): number {
  let n = 1;
  for (const d of shape) n *= d;
  return n;
}

export function bytesOfTensor(tensor: Tensor): number {
  return elementsOf(tensor.shape) * bytesOf(tensor.dtype);
}

/**
 * The same memory seen with another shape, from element `offset` on.
 * @throws ShapeError when the view would leave the tensor.
 */
export function viewTensor(tensor: Tensor, shape: readonly number[], offset = 0): Tensor {
  const have = elementsOf(tensor.shape);
  const want = offset + elementsOf(shape);
  if (want > have) throw new ShapeError(tensor.label, "view outside the tensor", { expected: `at most ${have} elements`, got: want });
  return { ...tensor, shape, byteOffset: tensor.byteOffset + offset * bytesOf(tensor.dtype) };
}
