/** Element types of tensors on a device. bf16 and f16 are stored as raw 16-bit words. */
export type DType = "f32" | "f16" | "bf16" | "i32" | "u32" | "i8" | "u8";

export type TypedArray = Float32Array | Int32Array | Uint32Array | Uint16Array | Int8Array | Uint8Array;

const BYTES: Record<DType, number> = { f32: 4, f16: 2, bf16: 2, i32: 4, u32: 4, i8: 1, u8: 1 };

/** Bytes of one element. */
export function bytesOf(dtype: DType): number {
  return BYTES[dtype];
}

/** A host view over `length` elements of `buffer`; f16 and bf16 appear as their bits in a Uint16Array. */
export function viewOf(dtype: DType, buffer: ArrayBufferLike, byteOffset = 0, length?: number): TypedArray {
  switch (dtype) {
    case "f32": return new Float32Array(buffer, byteOffset, length);
    case "f16":
    case "bf16": return new Uint16Array(buffer, byteOffset, length);
    case "i32": return new Int32Array(buffer, byteOffset, length);
    case "u32": return new Uint32Array(buffer, byteOffset, length);
    case "i8": return new Int8Array(buffer, byteOffset, length);
    case "u8": return new Uint8Array(buffer, byteOffset, length);
  }
}
