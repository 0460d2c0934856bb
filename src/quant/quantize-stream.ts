import { kernels } from "#quant-kernels";
import type { Device } from "../device.ts";
import { FormatError, ShapeError } from "../errors.ts";
import { dynamicTable } from "../format/code-tables.ts";
import { BLOCKSIZES, encodeQuantState, maxQuantStateBytes, NESTED_BLOCKSIZE, quantStateSuffix, type QuantState } from "../format/quant-state.ts";
import { bytesOfSpec, DEFAULT_METADATA, encodeHeader, type StoredTensor, type TensorSpec } from "../format/safetensors-header.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { WasmDevice } from "../wasm/device.ts";
import { ByteReader, streamOf } from "./byte-reader.ts";
import { chunksOf } from "./chunks.ts";
import { nestedOffsetOf } from "./nested-offset.ts";
import { Quantizer } from "./quantizer.ts";
import { bytesIn, copyTensor, readStreamHeader, SHAPES_KEY, type StreamLimits } from "./tensor-stream.ts";

export interface QuantizeStreamOptions extends StreamLimits {
  /** Default `nf4`. */
  readonly type?: "nf4" | "fp4";
  /** Values that share one absmax: 32, 64, … 4096; default 64. */
  readonly blocksize?: number;
  /** Default true. */
  readonly doubleQuant?: boolean;
  /** Which tensors of floats to quantize; default: the linears of transformer blocks, `….layers.N.….…_proj.weight`. */
  readonly select?: (tensor: TensorSpec) => boolean;
  /** For messages. */
  readonly name?: string;
  /** Default: one of its own, with the kernels of `nibblelm/quant`. */
  readonly device?: Device;
  readonly signal?: AbortSignal | undefined;
}

type Settings = Required<Pick<QuantizeStreamOptions, "type" | "blocksize" | "doubleQuant" | "select" | "name">> & QuantizeStreamOptions;

const LINEAR = /(^|\.)layers\.\d+\..*_proj\.weight$/;
const FLOATS = { F32: "f32", F16: "f16", BF16: "bf16" } as const;
const NAMES = { F32: "float32", F16: "float16", BF16: "bfloat16" } as const;
type FloatType = keyof typeof FLOATS;

/**
 * A safetensors file, as it streams by, with its weights in 4 bits under bitsandbytes' keys and bits. Memory: 4 MiB, and
 * 1/16 byte a value of the tensor at hand, whose absmax must be known before the first of them is quantized.
 * The metadata `nibblelm_stream` keeps what the weights were, so that `dequantizeStream` can go back.
 * @returns a stream that fails with FormatError for a broken file or a value that is not finite; cancelling it cancels `input`.
 * @throws ShapeError for an option.
 */
export function quantizeStream(input: ReadableStream<Uint8Array>, options: QuantizeStreamOptions = {}): ReadableStream<Uint8Array> {
  const { type = "nf4", blocksize = 64, doubleQuant = true, select = ({ name }) => LINEAR.test(name), name = "stream" } = options;
  if (type !== "nf4" && type !== "fp4") throw new ShapeError("quantizeStream", "type", { expected: "nf4 or fp4", got: type });
  if (!BLOCKSIZES.includes(blocksize)) throw new ShapeError("quantizeStream", "blocksize", { expected: BLOCKSIZES.join(", "), got: blocksize });
  return streamOf(quantizedFile(input, { ...options, type, blocksize, doubleQuant, select, name }));
}

async function* quantizedFile(input: ReadableStream<Uint8Array>, settings: Settings): AsyncGenerator<Uint8Array, void> {
  const reader = new ByteReader(input, settings.name, settings.signal);
  let work: TensorWork | undefined;
  try {
    const { metadata, tensors } = await readStreamHeader(reader, settings);
    const units: Unit[] = [];
    let at = 0;
    for (const tensor of tensors.values()) {
      const unit = unitOf(tensor, at, settings);
      units.push(unit);
      at += bytesOfAll(unit.specs);
    }
    const shapes = Object.fromEntries(units.flatMap(({ tensor, state }) => (state ? [[tensor.name, { dtype: tensor.dtype, shape: tensor.shape }]] : [])));
    yield encodeHeader(units.flatMap(({ specs }) => specs), { ...(metadata.size ? Object.fromEntries(metadata) : DEFAULT_METADATA), [SHAPES_KEY]: JSON.stringify(shapes) });
    work = new TensorWork(settings.device ?? (await WasmDevice.create({ wasm: kernels })), settings);
    for (const { tensor, state, stateBytes } of units) {
      if (state) yield* work.quantize(reader, tensor, state, stateBytes);
      else yield* copyTensor(reader, tensor.bytes);
    }
    await reader.end();
  } finally {
    await reader.cancel();
    await work?.dispose();
  }
}

interface Unit {
  readonly tensor: StoredTensor;
  /** Of one that is quantized. */
  readonly state: QuantState | undefined;
  readonly stateBytes: number;
  readonly specs: readonly TensorSpec[];
}

const bytesOfAll = (specs: readonly TensorSpec[]): number => specs.reduce((sum, spec) => sum + bytesOfSpec(spec), 0);

/**
 * The keys of one tensor, in the order in which they come to be known. The state's JSON is filled up with spaces, for its
 * length depends on the offset, and so far that float32 begins at multiples of 4 and the next tensor at one of 8.
 * @param at where its bytes begin.
 */
function unitOf(tensor: StoredTensor, at: number, { type, blocksize, doubleQuant, select }: Settings): Unit {
  const { name, dtype, shape } = tensor;
  const n = elementsOf(shape);
  if (!(dtype in FLOATS) || n === 0 || !select({ name, dtype, shape })) return { tensor, state: undefined, stateBytes: 0, specs: [tensor] };
  const state: QuantState = { quantType: type, blocksize, dtype: NAMES[dtype as FloatType], shape };
  const blocks = Math.ceil(n / blocksize);
  const spec = (part: string, kind: TensorSpec["dtype"], ...size: number[]): TensorSpec => ({ name: name + part, dtype: kind, shape: size });
  const packed = spec("", "U8", Math.ceil(n / 2), 1);
  const tables = [spec(".quant_map", "F32", 16)];
  if (doubleQuant) tables.push(spec(".nested_absmax", "F32", Math.ceil(blocks / NESTED_BLOCKSIZE)), spec(".nested_quant_map", "F32", 256));
  else tables.push(spec(".absmax", "F32", blocks));
  const bytes = doubleQuant ? [packed, spec(".absmax", "U8", blocks)] : [packed];
  const least = maxQuantStateBytes(state, doubleQuant);
  const stateBytes = least + ((8 - ((at + bytesOfAll([...bytes, ...tables]) + least) % 8)) % 8);
  return { tensor, state, stateBytes, specs: [...bytes, spec(quantStateSuffix(type), "U8", stateBytes), ...tables] };
}

/** Values at a time: whole blocks of every blocksize. */
const CHUNK = 2 ** 18;

/** Buffers for one chunk, used for every tensor. */
class TensorWork {
  readonly #device: Device;
  readonly #settings: Settings;
  readonly #quantizer: Quantizer;
  readonly #bytes = new Uint8Array(4 * CHUNK); // as they come; used again and again, for an edge runtime collects garbage late
  readonly #values: Tensor; // f32[CHUNK], or as many f16 or bf16
  readonly #packed: Tensor; // u8[CHUNK / 2]
  readonly #absmax: Tensor; // f32[blocks]
  readonly #q: Tensor; // u8[blocks]
  readonly #nested: Tensor; // f32[blocks / 256]

  constructor(device: Device, settings: Settings) {
    const blocks = Math.max(NESTED_BLOCKSIZE, CHUNK / settings.blocksize); // a whole number of nested ones
    this.#device = device;
    this.#settings = settings;
    this.#quantizer = new Quantizer(device, settings.type, settings.blocksize);
    this.#values = device.allocate("f32", [CHUNK], "values");
    this.#packed = device.allocate("u8", [CHUNK / 2], "packed");
    this.#absmax = device.allocate("f32", [blocks], "absmax");
    this.#q = device.allocate("u8", [blocks], "absmax bytes");
    this.#nested = device.allocate("f32", [blocks / NESTED_BLOCKSIZE], "nested absmax");
  }

  async *quantize(reader: ByteReader, tensor: StoredTensor, state: QuantState, stateBytes: number): AsyncGenerator<Uint8Array, void> {
    const { doubleQuant, blocksize } = this.#settings;
    const n = elementsOf(tensor.shape);
    const absmax = new Float32Array(Math.ceil(n / blocksize));
    for (const [at, length] of chunksOf(n, CHUNK)) yield await this.#chunk(reader, tensor, at, length, absmax);
    if (!doubleQuant) {
      yield padded(encodeQuantState(state), stateBytes);
      yield* [this.#quantizer.code.slice(), absmax].map(bytesIn);
      return;
    }
    const offset = nestedOffsetOf(absmax);
    const nestedAbsmax = new Float32Array(Math.ceil(absmax.length / NESTED_BLOCKSIZE));
    const size = this.#q.shape[0];
    for (const [at, length] of chunksOf(absmax.length, size)) {
      this.#device.write(this.#absmax, absmax.subarray(at, at + length));
      this.#quantizer.nest(this.#absmax, this.#q, this.#nested, length, offset);
      nestedAbsmax.set((await this.#device.read(viewTensor(this.#nested, [Math.ceil(length / NESTED_BLOCKSIZE)]))) as Float32Array, at / NESTED_BLOCKSIZE);
      yield (await this.#device.read(viewTensor(this.#q, [length]))) as Uint8Array;
    }
    yield padded(encodeQuantState({ ...state, nested: { blocksize: NESTED_BLOCKSIZE, offset } }), stateBytes);
    yield* [this.#quantizer.code.slice(), nestedAbsmax, dynamicTable()].map(bytesIn);
  }

  async #chunk(reader: ByteReader, { name, dtype }: StoredTensor, at: number, length: number, absmax: Float32Array): Promise<Uint8Array> {
    const { blocksize } = this.#settings;
    const type = FLOATS[dtype as FloatType];
    await reader.fill(this.#bytes.subarray(0, length * (type === "f32" ? 4 : 2)));
    const x: Tensor = { ...this.#values, dtype: type };
    const { buffer } = this.#bytes;
    this.#device.write(x, type === "f32" ? new Float32Array(buffer, 0, length) : new Uint16Array(buffer, 0, length));
    this.#quantizer.quantize(x, this.#packed, this.#absmax, length);
    const part = (await this.#device.read(viewTensor(this.#absmax, [Math.ceil(length / blocksize)]))) as Float32Array;
    const bad = part.findIndex((value) => !Number.isFinite(value));
    if (bad >= 0) throw new FormatError(`${reader.name}: ${name}`, `values from ${at + bad * blocksize} on`, { expected: "finite numbers", got: "NaN or infinity" });
    absmax.set(part, at / blocksize);
    return (await this.#device.read(viewTensor(this.#packed, [Math.ceil(length / 2)]))) as Uint8Array;
  }

  async dispose(): Promise<void> {
    this.#quantizer.dispose();
    for (const tensor of [this.#values, this.#packed, this.#absmax, this.#q, this.#nested]) this.#device.free(tensor);
    if (!this.#settings.device && this.#device instanceof WasmDevice) await this.#device.dispose();
  }
}

function padded(bytes: Uint8Array, length: number): Uint8Array {
  const all = new Uint8Array(length).fill(0x20);
  all.set(bytes);
  return all;
}
