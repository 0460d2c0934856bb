import { FormatError } from "../errors.ts";
import { decodeBlocks, DECODED_TYPES, unsupportedType } from "./gguf-blocks.ts";
import { fileRow, huggingFaceName, permutedHeads, ROPE_FREQS } from "./gguf-llama.ts";
import type { GgufFile, GgufTensor } from "./gguf.ts";
import type { ModelConfig } from "./model-config.ts";
import type { DenseTensor, OpaqueTensor, Region, StoredFiles, WeightFiles, WeightTensor } from "./weights.ts";

const FLOATS: Readonly<Record<string, DenseTensor["dtype"]>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/**
 * The weights of a GGUF file under Hugging Face's names and in its row order.
 * @throws FormatError naming a tensor of a type or a name that is not known.
 */
export function ggufWeights(file: GgufFile, config: ModelConfig): WeightFiles {
  const tensors = new Map<string, WeightTensor>();
  for (const tensor of file.tensors.values()) {
    if (tensor.name === ROPE_FREQS) continue;
    const name = huggingFaceName(tensor.name);
    if (!name) throw new FormatError(`${file.source.name}: ${tensor.name}`, "unknown tensor", { expected: `only those of a ${config.modelType} model` });
    tensors.set(name, ggufTensor(file, tensor, name, permutedHeads(name, config)));
  }
  return { tensors, regions: regionsOf(file), files: [file.source], close: () => file.source.close() };
}

/** The tensors as they lie there, for looking at: of any type, under the names and in the row order of the file. */
export function ggufTensors(file: GgufFile): StoredFiles {
  const tensors = [...file.tensors.values()].map((tensor): [string, DenseTensor | OpaqueTensor] => {
    const { name, shape, type, bytes } = tensor;
    return [name, isDecoded(type.name) ? ggufTensor(file, tensor, name) : { kind: "opaque", name, shape, storage: type.name, storageBytes: bytes }];
  });
  return { tensors: new Map(tensors), regions: regionsOf(file), files: [file.source], close: () => file.source.close() };
}

function regionsOf(file: GgufFile): Region[] {
  return [...file.tensors.values()].map(({ name, type, shape, offset, bytes }) => ({ name, storage: `${type.name} ${shape}`, source: file.source, offset, bytes }));
}

function isDecoded(type: string): boolean {
  return type in FLOATS || DECODED_TYPES.includes(type);
}

/** @param heads number of heads whose rows are in llama.cpp's order; 0 when the rows are as they should be. */
export function ggufTensor(file: GgufFile, tensor: GgufTensor, name: string, heads = 0): DenseTensor {
  const { shape, type, bytes } = tensor;
  const where = `${file.source.name}: ${tensor.name}`;
  const dtype = FLOATS[type.name] ?? "f32";
  if (!isDecoded(type.name)) throw unsupportedType(type.name, where);
  // Whatever is read and decoded at once: a block, or a row where rows change places.
  const unit = heads ? rowUnit(tensor, heads, where) : { elements: type.elements, bytes: type.bytes };
  return {
    kind: "dense", name, shape, dtype, storage: type.name, storageBytes: bytes,
    async read(begin, end, into) {
      const first = Math.floor(begin / unit.elements);
      const last = Math.ceil(end / unit.elements);
      const raw = await (heads ? readPermutedRows(file, tensor, heads, first, last) : file.source.read(tensor.offset + first * unit.bytes, (last - first) * unit.bytes));
      const skip = begin - first * unit.elements;
      return valuesOf(tensor, raw, (last - first) * unit.elements, where, into).subarray(skip, skip + end - begin);
    },
  };
}

function valuesOf({ type }: GgufTensor, raw: Uint8Array<ArrayBuffer>, elements: number, where: string, into?: Uint8Array<ArrayBuffer>): Float32Array | Uint16Array {
  if (type.name === "F32") return new Float32Array(raw.buffer);
  if (type.name in FLOATS) return new Uint16Array(raw.buffer);
  const out = into && into.byteLength >= 4 * elements ? new Float32Array(into.buffer, into.byteOffset, elements) : new Float32Array(elements);
  decodeBlocks(type, raw, out, where);
  return out;
}

/** Rows are whole blocks, because the row length is a multiple of the block's. */
function rowUnit({ shape, bytes }: GgufTensor, heads: number, where: string): { elements: number; bytes: number } {
  const headDim = shape[0] / heads;
  if (!Number.isInteger(headDim) || headDim % 2) throw new FormatError(where, "rows", { expected: `${heads} heads of an even number of rows`, got: shape[0] });
  return { elements: shape[1] ?? 1, bytes: bytes / shape[0] };
}

/** Rows [first, last) in Hugging Face's order. Rows of a head are scattered, so the heads they belong to are read whole. */
async function readPermutedRows(file: GgufFile, tensor: GgufTensor, heads: number, first: number, last: number): Promise<Uint8Array<ArrayBuffer>> {
  const headDim = tensor.shape[0] / heads;
  const rowBytes = tensor.bytes / tensor.shape[0];
  const base = Math.floor(first / headDim) * headDim;
  const stop = Math.ceil(last / headDim) * headDim;
  const raw = await file.source.read(tensor.offset + base * rowBytes, (stop - base) * rowBytes);
  const rows = new Uint8Array((last - first) * rowBytes);
  for (let row = first; row < last; row++) {
    const inHead = row % headDim;
    const at = (row - inHead - base + fileRow(inHead, headDim)) * rowBytes;
    rows.set(raw.subarray(at, at + rowBytes), (row - first) * rowBytes);
  }
  return rows;
}
