import { FormatError } from "../errors.ts";
import type { SourceFolder } from "../io/types.ts";
import { NESTED_BLOCKSIZE, parseQuantState, type QuantState } from "./quant-state.ts";
import { openSafetensors, readTensor, type SafetensorsFile, type StoredTensor } from "./safetensors.ts";
import { INDEX_FILE, parseShardIndex, SINGLE_FILE } from "./shards.ts";
import type { Bnb4Tensor, DenseTensor, OpaqueTensor, StoredFiles, WeightFiles, WeightTensor } from "./weights.ts";

interface Located {
  readonly file: SafetensorsFile;
  readonly tensor: StoredTensor;
}

type Stored = Map<string, Located>;

/**
 * The weights of a Hugging Face folder, in one file or several, dense or in bitsandbytes' 4 bits.
 * @throws FormatError naming file, tensor and rule.
 */
export function openSafetensorsWeights(folder: SourceFolder): Promise<WeightFiles> {
  return openTensors(folder, undefined, refuseDType);
}

/**
 * The same for looking at: tensors of any dtype, and of one file alone where it is named.
 * @throws FormatError naming file, tensor and rule.
 */
export function openSafetensorsTensors(folder: SourceFolder, file?: string): Promise<StoredFiles> {
  return openTensors(folder, file, ({ tensor: { name, shape, dtype, bytes } }): OpaqueTensor => ({ kind: "opaque", name, shape, storage: dtype, storageBytes: bytes }));
}

async function openTensors<T>(folder: SourceFolder, only: string | undefined, other: (located: Located) => T): Promise<StoredFiles<T>> {
  const files: SafetensorsFile[] = [];
  const close = async (): Promise<void> => { for (const { source } of files) await source.close(); };
  try {
    const stored = await locateAll(folder, files, only);
    const regions = [...stored.values()].map(({ file, tensor }) => ({ name: tensor.name, storage: `${tensor.dtype} ${tensor.shape}`, source: file.source, offset: tensor.offset, bytes: tensor.bytes }));
    return { tensors: await groupTensors(stored, other), regions, files: files.map(({ source }) => source), close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function locateAll(folder: SourceFolder, files: SafetensorsFile[], only: string | undefined): Promise<Stored> {
  const stored: Stored = new Map();
  const add = async (name: string): Promise<void> => {
    const source = await folder.open(name);
    // In the list before it is checked, so that it is closed if it fails.
    const at = files.push({ source, metadata: new Map(), tensors: new Map() }) - 1;
    const file = (files[at] = await openSafetensors(source));
    for (const tensor of file.tensors.values()) {
      const other = stored.get(tensor.name);
      if (other) throw new FormatError(source.name, "tensor", { expected: "each tensor in one file", got: `${tensor.name}, which is also in ${other.file.source.name}` });
      stored.set(tensor.name, { file, tensor });
    }
  };
  if (only !== undefined || (await folder.has(SINGLE_FILE))) {
    await add(only ?? SINGLE_FILE);
    return stored;
  }
  if (!(await folder.has(INDEX_FILE))) throw await missingWeights(folder);
  const where = `${folder.name}/${INDEX_FILE}`;
  const index = parseShardIndex(await folder.readText(INDEX_FILE), where);
  for (const name of new Set(index.values())) await add(name);
  for (const [tensor, file] of index) {
    if (!stored.has(tensor)) throw new FormatError(where, "missing tensor", { expected: `${tensor} in ${file}`, got: "none of this name" });
  }
  return stored;
}

async function missingWeights(folder: SourceFolder): Promise<FormatError> {
  const pickled = (await folder.list()).find((file) => /\.(bin|pt|pth)$/.test(file));
  return new FormatError(folder.name, "weights", {
    expected: `${SINGLE_FILE} or ${INDEX_FILE}`,
    got: pickled ?? "neither",
    ...(pickled ? { hint: "pickled weights can run code and are never opened: convert them to safetensors" } : {}),
  });
}

const STATE = /^(.*)\.quant_state\.bitsandbytes__([^.]*)$/;

async function groupTensors<T>(stored: Stored, other: (located: Located) => T): Promise<Map<string, WeightTensor | T>> {
  const tensors = new Map<string, WeightTensor | T>();
  const parts = new Set<string>();
  for (const [key, state] of stored) {
    const [, weight, quantType] = STATE.exec(key) ?? [];
    if (weight === undefined) continue;
    const where = `${state.file.source.name}: ${weight}`;
    if (tensors.has(weight)) throw new FormatError(where, "quantization state", { expected: "one", got: "two" });
    tensors.set(weight, await bnb4Tensor(stored, weight, key, quantType, where, parts));
  }
  for (const [name, located] of stored) {
    if (!parts.has(name)) tensors.set(name, denseTensor(located) ?? other(located));
  }
  return tensors;
}

const FLOATS: Readonly<Record<string, DenseTensor["dtype"]>> = { F32: "f32", F16: "f16", BF16: "bf16" };

function refuseDType({ file, tensor: { name, dtype } }: Located): never {
  const hint = dtype === "U8" ? "a weight in 4 bits needs its .quant_state beside it" : "other quantizations are not known";
  throw new FormatError(`${file.source.name}: ${name}`, "dtype", { expected: "F32, F16 or BF16", got: dtype, hint });
}

/** Undefined for what is no float. */
function denseTensor({ file, tensor }: Located): DenseTensor | undefined {
  const { name, shape, bytes } = tensor;
  const dtype = FLOATS[tensor.dtype];
  if (!dtype) return undefined;
  const width = dtype === "f32" ? 4 : 2;
  return {
    kind: "dense", name, shape, dtype, storage: tensor.dtype, storageBytes: bytes,
    async read(begin, end, into) {
      const { buffer, byteOffset } = await readTensor(file, tensor, begin * width, end * width, into?.subarray(0, (end - begin) * width));
      return dtype === "f32" ? new Float32Array(buffer, byteOffset, end - begin) : new Uint16Array(buffer, byteOffset, end - begin);
    },
  };
}

async function bnb4Tensor(stored: Stored, name: string, stateKey: string, quantType: string, where: string, used: Set<string>): Promise<Bnb4Tensor> {
  const part = (key: string, dtypes: readonly string[], length: number): Located => {
    const located = stored.get(key);
    if (!located) throw new FormatError(where, "missing tensor", { expected: key, got: "none of this name" });
    const { dtype, shape } = located.tensor;
    if (!dtypes.includes(dtype) || shape.length !== 1 || shape[0] !== length) {
      throw new FormatError(`${located.file.source.name}: ${key}`, "dtype and shape", { expected: `${dtypes.join(" or ")} [${length}]`, got: `${dtype} [${shape}]` });
    }
    used.add(key);
    return located;
  };
  const floats = async (key: string, length: number): Promise<Float32Array> => new Float32Array((await bytesOf(part(key, ["F32"], length))).buffer);
  const stateTensor = stored.get(stateKey)!;
  used.add(stateKey);
  if (stateTensor.tensor.dtype !== "U8") throw new FormatError(where, "dtype of the quantization state", { expected: "U8", got: stateTensor.tensor.dtype });
  const state = parseQuantState(await bytesOf(stateTensor), quantType, `${where}: quant_state`);
  const elements = state.shape.reduce((a, b) => a * b, 1);
  const blocks = Math.ceil(elements / state.blocksize);
  checkNesting(stored, name, state, where);
  const packed = packedPart(stored, name, Math.ceil(elements / 2), where);
  used.add(name);
  const absmax = part(`${name}.absmax`, [state.nested ? "U8" : "F32"], blocks);
  const quantMap = await floats(`${name}.quant_map`, 16);
  const nested = state.nested && {
    nestedAbsmax: await floats(`${name}.nested_absmax`, Math.ceil(blocks / NESTED_BLOCKSIZE)),
    nestedQuantMap: await floats(`${name}.nested_quant_map`, 256),
  };
  const tables = 64 + (nested ? 1024 + 4 * nested.nestedAbsmax.length : 0);
  return {
    kind: "bnb4", name, shape: state.shape, state, quantMap, ...nested,
    storageBytes: packed.tensor.bytes + absmax.tensor.bytes + tables + stateTensor.tensor.bytes,
    packed: (begin, end, into) => readTensor(packed.file, packed.tensor, begin, end, into),
    async absmax(into) {
      const bytes = await readTensor(absmax.file, absmax.tensor, 0, absmax.tensor.bytes, into);
      return state.nested ? bytes : new Float32Array(bytes.buffer, bytes.byteOffset, blocks);
    },
  };
}

function bytesOf({ file, tensor }: Located): Promise<Uint8Array<ArrayBuffer>> {
  return readTensor(file, tensor);
}

/** bitsandbytes recognises double quantization by this tensor, we by the state: they must agree. */
function checkNesting(stored: Stored, name: string, state: QuantState, where: string): void {
  const present = stored.has(`${name}.nested_absmax`);
  if (present !== (state.nested !== undefined)) throw new FormatError(where, "double quantization", { expected: "nested_absmax and the state's nested_* together", got: present ? "nested_absmax alone" : "nested_* alone" });
}

/** The dtype is free (`bnb_4bit_quant_storage`): the same bytes, seen otherwise. */
function packedPart(stored: Stored, name: string, bytes: number, where: string): Located {
  const located = stored.get(name);
  if (!located) throw new FormatError(where, "missing tensor", { expected: name, got: "none of this name" });
  if (located.tensor.bytes !== bytes) throw new FormatError(where, "bytes of the codes", { expected: `${bytes}, as the shape in quant_state says`, got: located.tensor.bytes });
  return located;
}
