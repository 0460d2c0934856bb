import { FormatError } from "../errors.ts";
import { parseStrictJson, type StrictJson } from "./strict-json.ts";

/** Bits of one element. The order is the format's: a writer lays tensors out from the last of these to the first. */
export const SAFETENSORS_BITS = {
  BOOL: 8, F4: 4, F6_E2M3: 6, F6_E3M2: 6, U8: 8, I8: 8, F8_E5M2: 8, F8_E4M3: 8, F8_E8M0: 8, F8_E4M3FNUZ: 8, F8_E5M2FNUZ: 8,
  I16: 16, U16: 16, F16: 16, BF16: 16, I32: 32, U32: 32, F32: 32, C64: 64, F64: 64, I64: 64, U64: 64,
} as const;

export type SafetensorsDType = keyof typeof SAFETENSORS_BITS;

export interface TensorSpec {
  readonly name: string;
  readonly dtype: SafetensorsDType;
  readonly shape: readonly number[];
}

/** One entry of a header. */
export interface StoredTensor extends TensorSpec {
  /** From the start of the file. */
  readonly offset: number;
  readonly bytes: number;
}

export interface SafetensorsHeader {
  readonly metadata: ReadonlyMap<string, string>;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
}

export const MAX_HEADER = 100_000_000;
/** Bytes of the length before the header. */
export const PREFIX = 8;

/**
 * Checks the JSON of a header: every byte of the data belongs to exactly one tensor, of the size that its shape says.
 * Source: safetensors/src/tensor.rs.
 * @param fileSize undefined for a stream, whose end has yet to come.
 * @throws FormatError naming the file and the broken rule.
 */
export function parseHeader(bytes: Uint8Array, fileSize: number | undefined, name: string): SafetensorsHeader {
  const begin = PREFIX + bytes.length;
  const header = parseObject(bytes, name);
  const tensors = checkedTensors(header, begin, name);
  const end = checkContiguous([...tensors.values()], begin, name);
  if (fileSize !== undefined && end !== fileSize) throw new FormatError(name, "file size", { expected: `${end} bytes, where the last tensor ends`, got: fileSize });
  return { metadata: checkedMetadata(header.get("__metadata__"), name), tensors };
}

function parseObject(bytes: Uint8Array, name: string): Map<string, StrictJson> {
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(name, "header", { expected: "UTF-8", got: "other bytes", cause });
  }
  const header = parseStrictJson(text, `${name}: header`);
  if (!(header instanceof Map)) throw new FormatError(name, "header", { expected: "a JSON object", got: kindOf(header) });
  return header;
}

function checkedMetadata(value: StrictJson | undefined, name: string): Map<string, string> {
  if (value === undefined) return new Map();
  if (!(value instanceof Map)) throw new FormatError(name, "__metadata__", { expected: "an object", got: kindOf(value) });
  for (const [key, item] of value) {
    if (typeof item !== "string") throw new FormatError(name, `__metadata__.${key}`, { expected: "a string", got: kindOf(item) });
  }
  return value as Map<string, string>;
}

function checkedTensors(header: Map<string, StrictJson>, begin: number, file: string): Map<string, StoredTensor> {
  const tensors = new Map<string, StoredTensor>();
  for (const [name, entry] of header) {
    if (name !== "__metadata__") tensors.set(name, checkedTensor(name, entry, begin, `${file}: ${name}`));
  }
  return tensors;
}

function checkedTensor(name: string, entry: StrictJson, begin: number, where: string): StoredTensor {
  if (!(entry instanceof Map)) throw new FormatError(where, "entry", { expected: "an object", got: kindOf(entry) });
  const dtype = entry.get("dtype");
  if (typeof dtype !== "string" || !Object.hasOwn(SAFETENSORS_BITS, dtype)) {
    throw new FormatError(where, "dtype", { expected: Object.keys(SAFETENSORS_BITS).join(" "), got: typeof dtype === "string" ? dtype : kindOf(dtype) });
  }
  const shape = checkedSizes(entry.get("shape"), "shape", where);
  const offsets = checkedSizes(entry.get("data_offsets"), "data_offsets", where);
  if (offsets.length !== 2 || offsets[1] < offsets[0]) throw new FormatError(where, "data_offsets", { expected: "[begin, end] with begin ≤ end", got: `[${offsets}]` });
  const bytes = bytesOfSpec({ name: where, dtype: dtype as SafetensorsDType, shape });
  if (offsets[1] - offsets[0] !== bytes) throw new FormatError(where, "data_offsets", { expected: `${bytes} bytes for ${dtype} [${shape}]`, got: offsets[1] - offsets[0] });
  return { name, dtype: dtype as SafetensorsDType, shape, offset: begin + offsets[0], bytes };
}

function checkedSizes(value: StrictJson | undefined, what: string, where: string): number[] {
  if (!Array.isArray(value) || !value.every((item) => typeof item === "number" && item >= 0)) {
    throw new FormatError(where, what, { expected: "a list of whole numbers of at least 0", got: kindOf(value) });
  }
  return value as number[];
}

/** @throws FormatError when the product overflows or is not a whole number of bytes. */
export function bytesOfSpec({ name, dtype, shape }: TensorSpec): number {
  const bits = shape.reduce((product, size) => product * size, SAFETENSORS_BITS[dtype]);
  // Past 2^53 a product is inexact but stays past it, unless a factor is 0, and then it is 0.
  if (!Number.isSafeInteger(bits)) throw new FormatError(name, "shape", { expected: "a size below 2^53 bits", got: `[${shape}]` });
  if (bits % 8) throw new FormatError(name, "shape", { expected: "a whole number of bytes", got: `${dtype} [${shape}]` });
  return bits / 8;
}

function checkContiguous(tensors: StoredTensor[], begin: number, file: string): number {
  tensors.sort((a, b) => a.offset - b.offset || a.bytes - b.bytes);
  let at = begin;
  for (const { name, offset, bytes } of tensors) {
    if (offset !== at) throw new FormatError(`${file}: ${name}`, offset > at ? "hole before this tensor" : "overlap", { expected: `begin at ${at - begin}`, got: offset - begin });
    at += bytes;
  }
  return at;
}

function kindOf(value: StrictJson | undefined): string {
  if (value instanceof Map) return "an object";
  if (Array.isArray(value)) return `[${value.slice(0, 4).map(kindOf)}]`;
  return value === undefined ? "nothing" : JSON.stringify(value);
}

const RANK = new Map(Object.keys(SAFETENSORS_BITS).map((dtype, i) => [dtype, i]));
export const DEFAULT_METADATA: Readonly<Record<string, string>> = { format: "pt" };

/** The format's order: widest dtype first, then by name. */
export function sortSpecs<T extends TensorSpec>(specs: readonly T[]): T[] {
  return [...specs].sort((a, b) => RANK.get(b.dtype)! - RANK.get(a.dtype)! || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** The length prefix and the JSON, padded with spaces so that the data starts at a multiple of 8, or at `dataStart`. */
export function encodeHeader(specs: readonly TensorSpec[], metadata: Readonly<Record<string, string>>, dataStart?: number): Uint8Array {
  const entries: string[] = Object.keys(metadata).length ? [`"__metadata__":${JSON.stringify(metadata)}`] : [];
  let at = 0;
  for (const spec of specs) {
    const end = at + bytesOfSpec(spec);
    entries.push(`${JSON.stringify(spec.name)}:{"dtype":"${spec.dtype}","shape":[${spec.shape}],"data_offsets":[${at},${end}]}`);
    at = end;
  }
  const json = new TextEncoder().encode(`{${entries.join(",")}}`);
  const bytes = new Uint8Array(dataStart ?? 8 + Math.ceil(json.length / 8) * 8).fill(0x20);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(bytes.length - 8), true);
  bytes.set(json, 8);
  return bytes;
}
