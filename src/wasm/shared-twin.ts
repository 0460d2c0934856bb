import { KernelError } from "../errors.ts";

// Name of the import, its kind (a memory) and its flags: it has a maximum, it is not shared.
const MEMORY_IMPORT = [...new TextEncoder().encode("memory"), 2, 1];
const SHARED = 3;

/**
 * The same kernels over a shared memory. They use no atomics, the workers' program does that, so the modules
 * differ in the flags of the one import: no second build to ship.
 */
export function sharedTwin(source: BufferSource): Uint8Array<ArrayBuffer> {
  const bytes = (ArrayBuffer.isView(source) ? new Uint8Array(source.buffer as ArrayBuffer, source.byteOffset, source.byteLength) : new Uint8Array(source)).slice();
  const at = bytes.findIndex((_, i) => MEMORY_IMPORT.every((byte, k) => bytes[i + k] === byte));
  if (at < 0) throw new KernelError("wasm", "kernels for threads", { expected: "a module that imports its memory", got: "none" });
  bytes[at + MEMORY_IMPORT.length - 1] = SHARED;
  return bytes;
}
