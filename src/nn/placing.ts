import type { Device } from "../device.ts";
import { bytesOfTensor, type Tensor } from "../tensor.ts";

/** As much of a device as allocating needs. */
export type Allocator = Pick<Device, "allocate">;

/** Whatever `build` made of tensors, and all of these, to be freed one day. */
export interface Placed<T> {
  readonly value: T;
  readonly tensors: readonly Tensor[];
}

/** @throws MemoryError */
export function place<T>(device: Device, build: (memory: Allocator) => T): Placed<T> {
  const tensors: Tensor[] = [];
  const value = build({
    allocate(dtype, shape, label) {
      const tensor = device.allocate(dtype, shape, label);
      tensors.push(tensor);
      return tensor;
    },
  });
  return { value, tensors };
}

/** As `place`, all or nothing, for what is welcome but not needed. `build` runs twice. */
export async function tryPlace<T>(device: Device, build: (memory: Allocator) => T): Promise<Placed<T> | undefined> {
  const tensors: Tensor[] = [];
  for (const { dtype, shape, label } of wanted(build)) {
    const tensor = await device.tryAllocate(dtype, shape, label);
    if (!tensor) {
      for (const other of tensors) device.free(other);
      return undefined;
    }
    tensors.push(tensor);
  }
  let next = 0;
  return { value: build({ allocate: () => tensors[next++] }), tensors };
}

const ALIGN = 256; // no device rounds more coarsely

/** Bytes that `build` would take. */
export function bytesToPlace(build: (memory: Allocator) => unknown): number {
  return wanted(build).reduce((sum, tensor) => sum + Math.ceil(bytesOfTensor(tensor) / ALIGN) * ALIGN, 0);
}

function wanted(build: (memory: Allocator) => unknown): Tensor[] {
  const tensors: Tensor[] = [];
  build({
    allocate(dtype, shape, label) {
      const tensor: Tensor = { dtype, shape, label, buffer: { bytes: 0 }, byteOffset: 0 };
      tensors.push(tensor);
      return tensor;
    },
  });
  return tensors;
}
