import { FormatError, MemoryError } from "../errors.ts";
import { MAX_HEADER, parseHeader, PREFIX, type SafetensorsHeader } from "../format/safetensors-header.ts";
import type { ByteReader } from "./byte-reader.ts";

/** Where a file in 4 bits that was written as a stream says what its weights were: JSON, name → { dtype, shape }. */
export const SHAPES_KEY = "nibblelm_stream";

export interface StreamLimits {
  /** Bytes of the header to accept. */
  readonly maxHeaderBytes?: number;
  /** Bytes of the whole file to accept: its header says how many they are, before they come. */
  readonly maxBytes?: number;
}

/** The header at the start of a stream; tensors are in the order of their bytes. @throws FormatError, MemoryError over a limit. */
export async function readStreamHeader(reader: ByteReader, { maxHeaderBytes = MAX_HEADER, maxBytes = Infinity }: StreamLimits): Promise<SafetensorsHeader> {
  const length = new DataView((await reader.exactly(PREFIX)).buffer).getBigUint64(0, true);
  if (length > maxHeaderBytes) throw new FormatError(reader.name, "header length", { expected: `at most ${maxHeaderBytes}`, got: length, hint: "is this a safetensors file?" });
  const { metadata, tensors } = parseHeader(await reader.exactly(Number(length)), undefined, reader.name);
  const sorted = [...tensors].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes);
  const size = sorted.reduce((end, [, { offset, bytes }]) => Math.max(end, offset + bytes), PREFIX + Number(length));
  if (size > maxBytes) throw new MemoryError(reader.name, "file", { expected: `at most ${maxBytes} bytes`, got: size });
  return { metadata, tensors: new Map(sorted) };
}

/** The bytes of a tensor that stays as it is. */
export async function* copyTensor(reader: ByteReader, bytes: number): AsyncGenerator<Uint8Array, void> {
  for (let done = 0; done < bytes;) {
    const part = await reader.some(bytes - done);
    done += part.length;
    yield part.slice(); // the source may use its buffer again
  }
}

/** Same memory, as bytes. */
export const bytesIn = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Uint8Array => new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLength);
