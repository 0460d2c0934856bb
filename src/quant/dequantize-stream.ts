import { kernels } from "#quant-kernels";
import { FormatError, MemoryError, ShapeError } from "../errors.ts";
import { parseJsonObject } from "../format/json-object.ts";
import { NESTED_BLOCKSIZE, parseQuantState, quantStateSuffix, type QuantState } from "../format/quant-state.ts";
import { DEFAULT_METADATA, encodeHeader, type SafetensorsHeader, type StoredTensor, type TensorSpec } from "../format/safetensors-header.ts";
// One by one: the index would bring every op into `nibblelm/quant`.
import { f32ToBf16 } from "../ops/f32-to-bf16.ts";
import { f32ToF16 } from "../ops/f32-to-f16.ts";
import { WasmDevice } from "../wasm/device.ts";
import { ByteReader, streamOf } from "./byte-reader.ts";
import { chunksOf, withWorkspace } from "./chunks.ts";
import { dequantizeTensor } from "./dequantize-tensor.ts";
import { checkShape, type QuantizedByTable, type ValueType } from "./quantized-tensor.ts";
import { bytesIn, copyTensor, readStreamHeader, SHAPES_KEY, type StreamLimits } from "./tensor-stream.ts";

export interface DequantizeStreamOptions extends StreamLimits {
  /** For messages. */
  readonly name?: string;
  /** Bytes of codes to hold at most, since a weight's constants come after them; default 64 MiB: 134 million values. */
  readonly maxHeldBytes?: number;
  /** A device of one thread; default: one of its own, with the kernels of `nibblelm/quant`. */
  readonly device?: WasmDevice;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The way back from `quantizeStream`: a file in 4 bits as it streams by, with its weights as they dequantize, in the dtype
 * and order that they had.
 * @returns a stream that fails with FormatError for a file of another origin or a broken one, with MemoryError for a weight
 * larger than `maxHeldBytes`; cancelling it cancels `input`.
 */
export function dequantizeStream(input: ReadableStream<Uint8Array>, options: DequantizeStreamOptions = {}): ReadableStream<Uint8Array> {
  return streamOf(dequantizedFile(input, options));
}

async function* dequantizedFile(input: ReadableStream<Uint8Array>, options: DequantizeStreamOptions): AsyncGenerator<Uint8Array, void> {
  const { name = "stream", maxHeldBytes = 2 ** 26, signal } = options;
  const reader = new ByteReader(input, name, signal);
  let own: WasmDevice | undefined;
  try {
    const header = await readStreamHeader(reader, options);
    const { weights, partOf } = groupsOf(header, name);
    const metadata = Object.fromEntries([...header.metadata].filter(([key]) => key !== SHAPES_KEY));
    yield encodeHeader(outputOrder(header, weights, partOf), header.metadata.size ? metadata : DEFAULT_METADATA);
    const device = options.device ?? (own = await WasmDevice.create({ wasm: kernels }));
    let held = 0;
    for (const tensor of header.tensors.values()) {
      const weight = partOf.get(tensor.name);
      if (!weight) {
        yield* copyTensor(reader, tensor.bytes);
        continue;
      }
      held += tensor.bytes;
      if (held > maxHeldBytes) throw new MemoryError(`${name}: ${tensor.name}`, "weights to hold", { expected: `at most ${maxHeldBytes} bytes`, got: held });
      weight.parts.set(tensor.name.slice(weight.spec.name.length), await reader.exactly(tensor.bytes));
      if (tensor.name !== weight.last) continue;
      yield* valuesOf(weight, `${name}: ${weight.spec.name}`, device);
      for (const part of weight.parts.values()) held -= part.length;
      weight.parts.clear();
    }
    await reader.end();
  } finally {
    await reader.cancel();
    await own?.dispose();
  }
}

interface Weight {
  /** What it was. */
  readonly spec: TensorSpec;
  readonly quantType: QuantState["quantType"];
  /** Key of the part that comes last. */
  last: string;
  /** By what follows the weight's name in the key. */
  readonly parts: Map<string, Uint8Array<ArrayBuffer>>;
}

const STATE = /^(.*)\.quant_state\.bitsandbytes__(nf4|fp4)$/;
const DTYPES: Readonly<Record<string, ValueType>> = { F32: "f32", F16: "f16", BF16: "bf16" };

/** Weights by the keys of their parts. @throws FormatError when the file does not say what they were. */
function groupsOf({ metadata, tensors }: SafetensorsHeader, file: string): { weights: Weight[]; partOf: Map<string, Weight> } {
  const known = parseJsonObject(new TextEncoder().encode(metadata.get(SHAPES_KEY) ?? "{}"), `${file}: ${SHAPES_KEY}`);
  const weights: Weight[] = [];
  const partOf = new Map<string, Weight>();
  for (const key of tensors.keys()) {
    const [, name, quantType] = STATE.exec(key) ?? [];
    if (name === undefined) continue;
    const { dtype, shape } = (known[name] ?? {}) as { dtype?: string; shape?: number[] };
    if (dtype === undefined || !Object.hasOwn(DTYPES, dtype)) {
      throw new FormatError(`${file}: ${name}`, `dtype and shape in the metadata ${SHAPES_KEY}`, { expected: "those that quantizeStream writes", got: JSON.stringify(known[name]) ?? "nothing", hint: "other files in 4 bits have them behind the weights, where a stream comes too late: `merge` and `inspect` read them from a folder or an address" });
    }
    checkShape(`${file}: ${name}`, shape!);
    weights.push({ spec: { name, dtype: dtype as TensorSpec["dtype"], shape: shape! }, quantType: quantType as Weight["quantType"], last: key, parts: new Map() });
  }
  for (const weight of weights) {
    for (const suffix of ["", ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", quantStateSuffix(weight.quantType)]) {
      if (tensors.has(weight.spec.name + suffix)) partOf.set(weight.spec.name + suffix, weight);
    }
  }
  for (const key of tensors.keys()) { // in the order of their bytes
    const weight = partOf.get(key);
    if (weight) weight.last = key;
  }
  return { weights, partOf };
}

/** A weight is written when its last part has come. */
function outputOrder({ tensors }: SafetensorsHeader, weights: readonly Weight[], partOf: ReadonlyMap<string, Weight>): TensorSpec[] {
  const complete = new Map(weights.map((weight) => [weight.last, weight.spec]));
  return [...tensors.values()].flatMap((tensor: StoredTensor) => (partOf.has(tensor.name) ? (complete.get(tensor.name) ?? []) : tensor));
}

function* valuesOf({ spec, quantType, parts }: Weight, where: string, device: WasmDevice): Generator<Uint8Array, void> {
  const part = (suffix: string): Uint8Array<ArrayBuffer> => {
    const bytes = parts.get(suffix);
    if (!bytes) throw new FormatError(where, "missing tensor", { expected: `${spec.name}${suffix}`, got: "none of this name" });
    return bytes;
  };
  const floats = (suffix: string): Float32Array => {
    const { buffer, byteLength } = part(suffix);
    if (byteLength % 4) throw new FormatError(where, `bytes of ${suffix}`, { expected: "whole float32 values", got: byteLength });
    return new Float32Array(buffer);
  };
  const state = parseQuantState(part(quantStateSuffix(quantType)), quantType, `${where}: quant_state`);
  if (String(state.shape) !== String(spec.shape)) throw new FormatError(where, "shape in the quantization state", { expected: `[${spec.shape}], as the metadata says`, got: `[${state.shape}]` });
  const { blocksize, nested } = state;
  const n = checkShape(where, spec.shape);
  const whole = { packed: part(""), absmax: nested ? part(".absmax") : floats(".absmax"), nestedAbsmax: nested ? floats(".nested_absmax") : undefined };
  const nestedCode = nested ? floats(".nested_quant_map") : undefined;
  const dtype = DTYPES[spec.dtype];
  try {
    for (const [at, length] of chunksOf(n)) {
      const first = at / blocksize; // a whole number of nested blocks, by the size of a chunk
      const end = Math.ceil((at + length) / blocksize);
      const q: QuantizedByTable = {
        type: quantType, shape: [length], dtype, blocksize, code: floats(".quant_map"),
        packed: whole.packed.subarray(at / 2, Math.ceil((at + length) / 2)), absmax: whole.absmax.subarray(first, end),
        ...(nested ? { nested: { absmax: whole.nestedAbsmax!.subarray(first / NESTED_BLOCKSIZE, Math.ceil(end / NESTED_BLOCKSIZE)), code: nestedCode!, offset: nested.offset } } : {}),
      };
      yield bytesIn(stored(dequantizeTensor(q, { device }), dtype, device));
    }
  } catch (cause) {
    if (cause instanceof ShapeError) throw new FormatError(where, "sizes of the constants", { expected: `those of ${n} values in blocks of ${blocksize}`, got: cause.message, cause });
    throw cause;
  }
}

/** Values that are of `dtype` already, as its bits. */
function stored(values: Float32Array, dtype: ValueType, device: WasmDevice): Float32Array | Uint16Array {
  if (dtype === "f32") return values;
  return withWorkspace(device, (space) => {
    const n = values.length;
    const [x, y, bits] = [space.put("f32", values, "values"), space.allocate(dtype, n, "bits"), new Uint16Array(n)];
    space.run(dtype === "f16" ? f32ToF16 : f32ToBf16, { x, y }, { n });
    space.read(y, bits, 0, n);
    return bits;
  });
}
