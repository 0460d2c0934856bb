import { f16ToNumber } from "./gguf-blocks.ts";
import type { DenseTensor } from "./weights.ts";

/** Elements [begin, end) as float32, in the beginning of `into`, which has 4 bytes for each. */
export async function readFloats(source: DenseTensor, begin: number, end: number, into: Uint8Array<ArrayBuffer>): Promise<Float32Array<ArrayBuffer>> {
  const n = end - begin;
  const floats = new Float32Array(into.buffer, into.byteOffset, n);
  // Halves may lie in the second half of what they become: widened from the first on, none is overwritten before it is read.
  const values = await source.read(begin, end, source.dtype === "f32" ? into.subarray(0, 4 * n) : into.subarray(2 * n, 4 * n));
  if (values instanceof Float32Array) {
    if (values.buffer !== floats.buffer) floats.set(values);
  } else if (source.dtype === "bf16") {
    const words = new Uint32Array(floats.buffer, floats.byteOffset, n);
    for (let i = 0; i < n; i++) words[i] = values[i] << 16;
  } else for (let i = 0; i < n; i++) floats[i] = f16ToNumber(values[i]);
  return floats;
}
