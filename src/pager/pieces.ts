import type { Device } from "../device.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";

/** Elements of the largest copy from the device to the host: 1 MiB. A GPU keeps the buffers through which it reads. */
export const PIECE = 2 ** 18;
/** Copies that are under way at once: one is computed towards while the other is fetched. */
export const LANES = 2;

/**
 * Copies an f32 tensor to the host piece by piece, so that a large one needs no larger buffers for reading than a small one.
 * Nothing may write to it before the answer is there.
 */
export async function readPieces(device: Device, tensor: Tensor, into = new Float32Array(elementsOf(tensor.shape))): Promise<Float32Array<ArrayBuffer>> {
  let next = 0;
  const lane = async (): Promise<void> => {
    while (next < into.length) {
      const at = next;
      const n = Math.min(PIECE, into.length - at);
      next += n;
      await readInto(device, viewTensor(tensor, [n], at), into.subarray(at, at + n));
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  return into;
}

/** @param into as long as the tensor */
export async function readInto(device: Device, tensor: Tensor, into: Float32Array): Promise<void> {
  const got = (await device.read(tensor, into)) as Float32Array;
  if (got.buffer !== into.buffer) into.set(got);
}
