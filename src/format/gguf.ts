import { FormatError } from "../errors.ts";
import type { ByteSource } from "../io/types.ts";
import { BLOCK_TYPES, type BlockType } from "./gguf-blocks.ts";

/** Numbers of an array keep their type, so that they take no more memory than in the file; booleans are 0 and 1 there. */
export type GgufArray = readonly string[] | Uint8Array | Int8Array | Uint16Array | Int16Array | Uint32Array | Int32Array | Float32Array | Float64Array | BigUint64Array | BigInt64Array;
/** Integers beyond 2^53 stay bigint. */
export type GgufValue = string | number | bigint | boolean | GgufArray;
export type GgufMetadata = ReadonlyMap<string, GgufValue>;

export interface GgufTensor {
  readonly name: string;
  /** Row-major, last dimension fastest: the reverse of ggml's `ne`. */
  readonly shape: readonly number[];
  readonly type: BlockType;
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface GgufFile {
  readonly source: ByteSource;
  readonly version: number;
  readonly metadata: GgufMetadata;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
}

const MAGIC = 0x46554747; // "GGUF"
const FIRST_READ = 2 ** 20;

/** The header ended within the bytes read so far, though not within the file. */
class NeedMore extends Error {}

/**
 * Reads and checks metadata and tensor infos.
 * Source: ggml docs/gguf.md; the stricter rules are those of llama.cpp's reader (ggml/src/gguf.cpp).
 * @throws FormatError naming the file and the broken rule.
 */
export async function openGguf(source: ByteSource): Promise<GgufFile> {
  // Nothing says how long the header is: more is read until it fits.
  for (let length = Math.min(FIRST_READ, source.size); ; length = Math.min(length * 4, source.size)) {
    try {
      return parse(source, await source.read(0, length));
    } catch (error) {
      if (!(error instanceof NeedMore)) throw error;
    }
  }
}

function parse(source: ByteSource, bytes: Uint8Array<ArrayBuffer>): GgufFile {
  const cursor = new Cursor(bytes, source.size, source.name);
  const magic = cursor.u32();
  if (magic !== MAGIC) throw new FormatError(source.name, "magic", { expected: `"GGUF"`, got: `0x${magic.toString(16).padStart(8, "0")}` });
  const version = cursor.u32();
  if (version !== 2 && version !== 3) {
    const hint = version & 0xffff ? undefined : "this file is big-endian";
    throw new FormatError(source.name, "GGUF version", { expected: "2 or 3", got: version, ...(hint ? { hint } : {}) });
  }
  const tensorCount = cursor.count(MIN_TENSOR_INFO, "number of tensors");
  const metadata = readMetadata(cursor, cursor.count(MIN_PAIR, "number of metadata pairs"));
  const alignment = alignmentOf(metadata, source.name);
  const tensors = readTensors(cursor, tensorCount, alignment);
  return { source, version, metadata, tensors };
}

const MIN_PAIR = 8 + 1 + 4 + 1;
const MIN_TENSOR_INFO = 8 + 4 + 4 + 8;

function readMetadata(cursor: Cursor, count: number): Map<string, GgufValue> {
  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < count; i++) {
    const key = cursor.string("metadata key");
    if (key === "") throw new FormatError(cursor.name, `metadata key ${i}`, { expected: "a name", got: "an empty one" });
    if (metadata.has(key)) throw new FormatError(cursor.name, "metadata key", { expected: "unique keys", got: `${key} twice` });
    metadata.set(key, readValue(cursor, cursor.u32(), key));
  }
  return metadata;
}

const STRING = 8;
const ARRAY = 9;

function readValue(cursor: Cursor, type: number, key: string): GgufValue {
  if (type === STRING) return cursor.string(key);
  if (type !== ARRAY) return cursor.scalar(type, key);
  const elementType = cursor.u32();
  if (elementType === ARRAY) throw new FormatError(cursor.name, key, { expected: "an array of scalars or strings", got: "nested arrays" });
  if (elementType !== STRING) return cursor.numbers(elementType, key);
  const count = cursor.count(8, key);
  const strings: string[] = [];
  for (let i = 0; i < count; i++) strings.push(cursor.string(key));
  return strings;
}

const DEFAULT_ALIGNMENT = 32;

function alignmentOf(metadata: GgufMetadata, name: string): number {
  const alignment = metadata.get("general.alignment") ?? DEFAULT_ALIGNMENT;
  if (typeof alignment !== "number" || alignment < 1 || alignment > 2 ** 31 || 2 ** Math.round(Math.log2(alignment)) !== alignment) {
    throw new FormatError(name, "general.alignment", { expected: "a power of two", got: alignment });
  }
  return alignment;
}

interface Info { name: string; shape: number[]; type: BlockType; relative: number; bytes: number }

function readTensors(cursor: Cursor, count: number, alignment: number): Map<string, GgufTensor> {
  const infos: Info[] = [];
  const names = new Set<string>();
  for (let i = 0; i < count; i++) {
    const info = readInfo(cursor);
    if (names.has(info.name)) throw new FormatError(cursor.name, "tensor name", { expected: "unique names", got: `${info.name} twice` });
    names.add(info.name);
    infos.push(info);
  }
  const begin = padded(cursor.at, alignment);
  const tensors = new Map<string, GgufTensor>();
  let at = 0;
  for (const { name, shape, type, relative, bytes } of infos) {
    const where = `${cursor.name}: ${name}`;
    if (relative !== at) throw new FormatError(where, "offset", { expected: `${at}, right after the tensor before`, got: relative });
    if (begin + at + bytes > cursor.size) throw new FormatError(where, "data", { expected: `${bytes} bytes from ${begin + at}`, got: `a file of ${cursor.size}`, hint: "the file is incomplete" });
    tensors.set(name, { name, shape, type, offset: begin + at, bytes });
    at = padded(at + bytes, alignment);
  }
  return tensors;
}

function readInfo(cursor: Cursor): Info {
  const name = cursor.string("tensor name");
  const where = `${cursor.name}: ${name}`;
  const dimensions = cursor.u32();
  if (dimensions > 4) throw new FormatError(where, "number of dimensions", { expected: "at most 4", got: dimensions });
  const ne = Array.from({ length: dimensions }, () => cursor.size64("dimension"));
  const id = cursor.u32();
  const type = BLOCK_TYPES.get(id);
  if (!type) throw new FormatError(where, "GGUF type", { expected: "a known one", got: `number ${id}` });
  if ((ne[0] ?? 1) % type.elements) throw new FormatError(where, "row length", { expected: `a multiple of ${type.elements} for ${type.name}`, got: ne[0] });
  const elements = ne.reduce((a, b) => a * b, 1);
  if (!Number.isSafeInteger(elements * type.bytes)) throw new FormatError(where, "shape", { expected: "fewer than 2^53 bytes", got: `[${ne}]` });
  return { name, shape: ne.reverse(), type, relative: cursor.size64("offset"), bytes: (elements / type.elements) * type.bytes };
}

function padded(n: number, alignment: number): number {
  return Math.ceil(n / alignment) * alignment;
}

interface Scalar {
  readonly bytes: number;
  readonly read: (view: DataView, at: number) => number | bigint | boolean;
  readonly array: new (buffer: ArrayBuffer) => Exclude<GgufArray, readonly string[]>;
}

const SCALARS: Readonly<Record<number, Scalar>> = {
  0: { bytes: 1, read: (view, at) => view.getUint8(at), array: Uint8Array },
  1: { bytes: 1, read: (view, at) => view.getInt8(at), array: Int8Array },
  2: { bytes: 2, read: (view, at) => view.getUint16(at, true), array: Uint16Array },
  3: { bytes: 2, read: (view, at) => view.getInt16(at, true), array: Int16Array },
  4: { bytes: 4, read: (view, at) => view.getUint32(at, true), array: Uint32Array },
  5: { bytes: 4, read: (view, at) => view.getInt32(at, true), array: Int32Array },
  6: { bytes: 4, read: (view, at) => view.getFloat32(at, true), array: Float32Array },
  7: { bytes: 1, read: (view, at) => view.getUint8(at) !== 0, array: Uint8Array },
  10: { bytes: 8, read: (view, at) => exact(view.getBigUint64(at, true)), array: BigUint64Array },
  11: { bytes: 8, read: (view, at) => exact(view.getBigInt64(at, true)), array: BigInt64Array },
  12: { bytes: 8, read: (view, at) => view.getFloat64(at, true), array: Float64Array },
};

function exact(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function scalarOf(type: number, name: string, key: string): Scalar {
  const scalar = SCALARS[type];
  if (!scalar) throw new FormatError(name, key, { expected: "a GGUF value type from 0 to 12", got: type });
  return scalar;
}

/** Reads little-endian values. Every length is held against the bytes left in the file before anything is made for it. */
class Cursor {
  readonly name: string;
  readonly size: number;
  at = 0;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  // Not the default: a token may begin with a byte order mark.
  readonly #decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

  constructor(bytes: Uint8Array<ArrayBuffer>, size: number, name: string) {
    this.name = name;
    this.size = size;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  #take(length: number, what: string): number {
    if (length > this.size - this.at) throw new FormatError(this.name, what, { expected: `at most ${this.size - this.at} bytes, what is left of the file`, got: length });
    if (this.at + length > this.#bytes.length) throw new NeedMore();
    const at = this.at;
    this.at += length;
    return at;
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4, "header"), true);
  }

  size64(what: string): number {
    const value = this.#view.getBigUint64(this.#take(8, what), true);
    if (value > Number.MAX_SAFE_INTEGER) throw new FormatError(this.name, what, { expected: "a number below 2^53", got: value });
    return Number(value);
  }

  /** How many things follow, each of at least `bytes` bytes. */
  count(bytes: number, what: string): number {
    const count = this.size64(what);
    if (count > (this.size - this.at) / bytes) throw new FormatError(this.name, what, { expected: `at most ${Math.floor((this.size - this.at) / bytes)}, what the file has room for`, got: count });
    return count;
  }

  string(what: string): string {
    const length = this.size64(what);
    const at = this.#take(length, what);
    try {
      return this.#decoder.decode(this.#bytes.subarray(at, at + length));
    } catch (cause) {
      throw new FormatError(this.name, what, { expected: "UTF-8", got: "other bytes", cause });
    }
  }

  scalar(type: number, key: string): number | bigint | boolean {
    const { bytes, read } = scalarOf(type, this.name, key);
    return read(this.#view, this.#take(bytes, key));
  }

  numbers(type: number, key: string): GgufArray {
    const { bytes, array } = scalarOf(type, this.name, key);
    const length = this.count(bytes, key) * bytes;
    const at = this.#take(length, key);
    return new array(this.#bytes.slice(at, at + length).buffer as ArrayBuffer);
  }
}
