import { FormatError, ShapeError } from "../errors.ts";
import type { ByteSource, SourceFolder } from "../io/types.ts";
import {
  bytesOfSpec, DEFAULT_METADATA, encodeHeader, MAX_HEADER, parseHeader, PREFIX, sortSpecs,
  type SafetensorsDType, type SafetensorsHeader, type StoredTensor, type TensorSpec,
} from "./safetensors-header.ts";

export type { SafetensorsDType, StoredTensor, TensorSpec } from "./safetensors-header.ts";

export interface SafetensorsFile extends SafetensorsHeader {
  readonly source: ByteSource;
}

/**
 * Reads and checks the header, and nothing else.
 * @throws FormatError naming the file and the broken rule.
 */
export async function openSafetensors(source: ByteSource): Promise<SafetensorsFile> {
  const { name, size } = source;
  if (size < PREFIX) throw new FormatError(name, "size", { expected: `at least ${PREFIX} bytes`, got: size });
  const length = new DataView((await source.read(0, PREFIX)).buffer).getBigUint64(0, true);
  if (length > MAX_HEADER) throw new FormatError(name, "header length", { expected: `at most ${MAX_HEADER}`, got: length, hint: "is this a safetensors file?" });
  if (Number(length) > size - PREFIX) throw new FormatError(name, "header length", { expected: `at most ${size - PREFIX}, what the file holds`, got: length });
  return { source, ...parseHeader(await source.read(PREFIX, Number(length)), size, name) };
}

/** Bytes [begin, end) of a tensor. */
export function readTensor(file: SafetensorsFile, tensor: StoredTensor, begin = 0, end = tensor.bytes, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
  return file.source.read(tensor.offset + begin, end - begin, into);
}

export type HostData = Float32Array | Float64Array | Int32Array | Uint32Array | Int16Array | Uint16Array | Int8Array | Uint8Array | BigInt64Array | BigUint64Array;

/** A tensor in memory; f16 and bf16 are bits in a Uint16Array. */
export interface HostTensor extends TensorSpec {
  readonly data: HostData;
}

const ARRAYS: Partial<Record<SafetensorsDType, new (buffer: ArrayBuffer) => HostData>> = {
  F32: Float32Array, F64: Float64Array, F16: Uint16Array, BF16: Uint16Array, I64: BigInt64Array, U64: BigUint64Array,
  I32: Int32Array, U32: Uint32Array, I16: Int16Array, U16: Uint16Array, I8: Int8Array, U8: Uint8Array, BOOL: Uint8Array,
};

/** All tensors of a small file. @throws FormatError */
export async function readSafetensors(folder: SourceFolder, file: string): Promise<Map<string, HostTensor>> {
  const source = await folder.open(file);
  try {
    const opened = await openSafetensors(source);
    const tensors = new Map<string, HostTensor>();
    for (const [name, tensor] of opened.tensors) {
      const array = ARRAYS[tensor.dtype];
      if (!array) throw new FormatError(`${source.name}: ${name}`, "dtype", { expected: Object.keys(ARRAYS).join(" "), got: tensor.dtype });
      const { dtype, shape } = tensor;
      tensors.set(name, { name, dtype, shape, data: new array((await readTensor(opened, tensor)).buffer) });
    }
    return tensors;
  } finally {
    await source.close();
  }
}

/** A whole file in memory, byte for byte as `safetensors.save` writes it. @throws ShapeError when data and shape disagree. */
export function encodeSafetensors(tensors: readonly HostTensor[], metadata: Readonly<Record<string, string>> = DEFAULT_METADATA): Uint8Array<ArrayBuffer> {
  const sorted = sortSpecs(tensors);
  const header = encodeHeader(sorted, metadata);
  const file = new Uint8Array(sorted.reduce((sum, spec) => sum + bytesOfSpec(spec), header.length));
  file.set(header);
  let at = header.length;
  for (const tensor of sorted) {
    const { name, data } = tensor;
    if (data.byteLength !== bytesOfSpec(tensor)) throw new ShapeError(name, "bytes to write", { expected: bytesOfSpec(tensor), got: data.byteLength });
    file.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), at);
    at += data.byteLength;
  }
  return file;
}
