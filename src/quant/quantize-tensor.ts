import type { TypedArray } from "../dtype.ts";
import { FormatError, ShapeError } from "../errors.ts";
import { codeTable, dynamicTable, rankTable } from "../format/code-tables.ts";
import { dynamicLut } from "../format/dynamic-lut.ts";
import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
import { checkBlocksize } from "../ops/blocksize.ts";
// One by one: the index would bring every op into `nibblelm/quant`.
import { bf16ToF32 } from "../ops/bf16-to-f32.ts";
import { f16ToF32 } from "../ops/f16-to-f32.ts";
import { quantize4bit } from "../ops/quantize-4bit.ts";
import { quantize8bit } from "../ops/quantize-8bit.ts";
import { quantizeInt4 } from "../ops/quantize-int4.ts";
import { quantizeInt8 } from "../ops/quantize-int8.ts";
import type { WasmDevice } from "../wasm/device.ts";
import { CHUNK, chunksOf, withWorkspace, type Workspace } from "./chunks.ts";
import { nestedOffsetOf } from "./nested-offset.ts";
import { checkShape, type NestedState, type QuantizedByTable, type QuantizedIntegers, type QuantizedTensor, type ValueType } from "./quantized-tensor.ts";

const WHERE = "quantizeTensor";
const TYPES = ["nf4", "fp4", "int8", "int4"] as const;

export interface QuantizeTensorOptions {
  /** Default `nf4`. */
  readonly type?: "nf4" | "fp4" | "int8" | "int4";
  /** A table of 16 levels in place of the type's own: each value, divided by its block's absmax, becomes the nearest entry, on a tie the lower one. */
  readonly code?: ArrayLike<number>;
  /** Values that share one absmax: 32, 64, … 4096; default 64. */
  readonly blocksize?: number;
  /** Quantize the absmax values as well, to 8 bits; default true, but for int8 and int4, which have none. */
  readonly doubleQuant?: boolean;
  /** What the bits of a Uint16Array are. */
  readonly dtype?: ValueType;
  /** Default: one dimension. */
  readonly shape?: readonly number[];
  /** For double quantization, in place of the mean of absmax: to repeat what another program stored. */
  readonly nestedOffset?: number;
  /** NaN and infinities are refused by default. `keep` makes their blocks meaningless, with double quantization the whole tensor, as in bitsandbytes. */
  readonly nan?: "refuse" | "keep";
  /** A device of one thread; without one, kernels are instantiated for this call and dropped. */
  readonly device?: WasmDevice;
}

interface Plan extends Required<Omit<QuantizeTensorOptions, "device" | "code" | "nestedOffset">> {
  readonly n: number;
  readonly code: Float32Array | undefined;
  readonly nestedOffset: number | undefined;
}

/**
 * Quantizes values in memory: NF4 and FP4 with the bits of bitsandbytes' `quantize_4bit`, int8 and int4 by absmax.
 * Device memory stays under 12 MiB whatever the size; the values are not changed.
 * @param values n values, or the bits of n f16 or bf16 values.
 * @throws ShapeError for a wrong option or no values, FormatError naming the first value that is not finite.
 */
export function quantizeTensor(values: Float32Array | Uint16Array, options: QuantizeTensorOptions = {}): QuantizedTensor {
  const plan = planOf(values, options);
  return withWorkspace(options.device, (space) => (plan.type === "int8" || plan.type === "int4" ? integers(values, plan, plan.type, space) : byTable(values, plan, space)));
}

function planOf(values: Float32Array | Uint16Array, options: QuantizeTensorOptions): Plan {
  const bits = values instanceof Uint16Array;
  if (!bits && !(values instanceof Float32Array)) throw new ShapeError(WHERE, "values", { expected: "a Float32Array or a Uint16Array", got: typeof values });
  if (!values.length) throw new ShapeError(WHERE, "values", { expected: "at least one", got: 0 });
  const { type = "nf4", blocksize = 64, dtype = bits ? undefined : "f32", shape = [values.length], nan = "refuse", nestedOffset } = options;
  const table = type !== "int8" && type !== "int4";
  const { doubleQuant = table } = options;
  if (!TYPES.includes(type)) throw new ShapeError(WHERE, "type", { expected: TYPES.join(", "), got: type });
  if (nan !== "refuse" && nan !== "keep") throw new ShapeError(WHERE, "nan", { expected: "refuse or keep", got: nan });
  if (bits ? dtype !== "f16" && dtype !== "bf16" : dtype !== "f32") throw new ShapeError(WHERE, `dtype of a ${bits ? "Uint16Array" : "Float32Array"}`, { expected: bits ? "f16 or bf16" : "f32", got: dtype ?? "nothing" });
  if (!table && doubleQuant) throw new ShapeError(WHERE, "doubleQuant", { expected: `false with ${type}`, got: doubleQuant });
  if (!table && options.code) throw new ShapeError(WHERE, "code", { expected: `none with ${type}`, got: "a table" });
  if (nestedOffset !== undefined && !(doubleQuant && Number.isFinite(nestedOffset))) throw new ShapeError(WHERE, "nestedOffset", { expected: "a finite number, with doubleQuant", got: nestedOffset });
  checkBlocksize(WHERE, blocksize);
  const n = checkShape(WHERE, shape);
  if (n !== values.length) throw new ShapeError(WHERE, "shape", { expected: `${values.length} values in all`, got: `[${shape}]` });
  return { n, type, code: options.code && customTable(options.code), blocksize, doubleQuant, dtype: dtype!, shape: [...shape], nan, nestedOffset };
}

function customTable(code: ArrayLike<number>): Float32Array {
  const table = Float32Array.from(code);
  if (table.length !== 16) throw new ShapeError(WHERE, "code", { expected: "16 levels", got: table.length });
  const bad = table.findIndex((level) => !Number.isFinite(level));
  if (bad >= 0) throw new ShapeError(WHERE, `code[${bad}]`, { expected: "a finite number", got: code[bad] });
  return table;
}

function byTable(values: Float32Array | Uint16Array, plan: Plan, space: Workspace): QuantizedByTable {
  const { n, blocksize, dtype, shape } = plan;
  const type = plan.code ? "custom" : (plan.type as "nf4" | "fp4");
  const code = plan.code ?? codeTable(plan.type as "nf4" | "fp4");
  const { thresholds, codes } = rankTable(code);
  const inputs = { x: space.allocate(dtype, Math.min(n, CHUNK), "values"), thresholds: space.put("f32", thresholds, "thresholds"), codes: space.put("u8", codes, "codes") };
  const outputs = outputsOf(space, n, blocksize);
  const packed = new Uint8Array(Math.ceil(n / 2));
  const absmax = new Float32Array(Math.ceil(n / blocksize));
  for (const [at, chunk] of chunksOf(n)) {
    space.write(inputs.x, values.subarray(at, at + chunk));
    space.run(quantize4bit, { ...inputs, ...outputs }, { n: chunk, blocksize, inputType: ["f32", "f16", "bf16"].indexOf(dtype) });
    space.read(outputs.packed, packed, at / 2, Math.ceil(chunk / 2));
    space.read(outputs.absmax, absmax, at / blocksize, Math.ceil(chunk / blocksize));
    // The absmax of a block shows whether all of its values are finite.
    if (plan.nan === "refuse" && !absmax.subarray(at / blocksize, Math.ceil((at + chunk) / blocksize)).every(Number.isFinite)) refuseNonFinite(values, dtype, at, at + chunk);
  }
  const result = { type, shape, dtype, blocksize, packed, code } as const;
  return plan.doubleQuant ? { ...result, ...nestedConstants(absmax, plan.nestedOffset, space) } : { ...result, absmax };
}

function outputsOf(space: Workspace, n: number, blocksize: number) {
  const most = Math.min(n, CHUNK);
  return { packed: space.allocate("u8", Math.ceil(most / 2), "packed"), absmax: space.allocate("f32", Math.ceil(most / blocksize), "absmax") };
}

function nestedConstants(absmax: Float32Array, given: number | undefined, space: Workspace): { absmax: Uint8Array; nested: NestedState } {
  const blocks = absmax.length;
  const offset = given === undefined ? nestedOffsetOf(absmax) : Math.fround(given);
  const code = dynamicTable();
  const most = Math.min(blocks, CHUNK);
  const x = space.allocate("f32", most, "absmax");
  const lut = space.put("u8", dynamicLut(code), "lut");
  const out = { q: space.allocate("u8", most, "absmax bytes"), absmax: space.allocate("f32", Math.ceil(most / NESTED_BLOCKSIZE), "nested absmax") };
  const bytes = new Uint8Array(blocks);
  const nestedAbsmax = new Float32Array(Math.ceil(blocks / NESTED_BLOCKSIZE));
  for (const [at, chunk] of chunksOf(blocks)) {
    space.write(x, absmax.subarray(at, at + chunk));
    space.run(quantize8bit, { x, lut, ...out }, { n: chunk, blocksize: NESTED_BLOCKSIZE, offset });
    space.read(out.q, bytes, at, chunk);
    space.read(out.absmax, nestedAbsmax, at / NESTED_BLOCKSIZE, Math.ceil(chunk / NESTED_BLOCKSIZE));
  }
  return { absmax: bytes, nested: { absmax: nestedAbsmax, code, offset } };
}

function integers(values: Float32Array | Uint16Array, plan: Plan, type: "int8" | "int4", space: Workspace): QuantizedIntegers {
  const { n, blocksize, dtype, shape } = plan;
  if (plan.nan === "refuse") refuseNonFinite(values, dtype, 0, n);
  const most = Math.min(n, CHUNK);
  const x = space.allocate("f32", most, "values");
  const stored = dtype === "f32" ? x : space.allocate(dtype, most, "stored values");
  const perByte = type === "int8" ? 1 : 2;
  const out = space.allocate(type === "int8" ? "i8" : "u8", Math.ceil(most / perByte), "packed");
  const scales = space.allocate("f32", Math.ceil(most / blocksize), "absmax");
  const packed = type === "int8" ? new Int8Array(n) : new Uint8Array(Math.ceil(n / 2));
  const absmax = new Float32Array(Math.ceil(n / blocksize));
  for (const [at, chunk] of chunksOf(n)) {
    space.write(stored, values.subarray(at, at + chunk));
    if (dtype !== "f32") space.run(dtype === "bf16" ? bf16ToF32 : f16ToF32, { x: stored, y: x }, { n: chunk });
    if (type === "int8") space.run(quantizeInt8, { x, q: out, absmax: scales }, { n: chunk, blocksize });
    else space.run(quantizeInt4, { x, packed: out, absmax: scales }, { n: chunk, blocksize });
    space.read(out, packed, at / perByte, Math.ceil(chunk / perByte));
    space.read(scales, absmax, at / blocksize, Math.ceil(chunk / blocksize));
  }
  return { type, shape, dtype, blocksize, packed, absmax };
}

/** @throws FormatError for the first value of [begin, end) that is NaN or infinite. */
function refuseNonFinite(values: TypedArray, dtype: ValueType, begin: number, end: number): void {
  const exponent = dtype === "bf16" ? 0x7f80 : 0x7c00; // all ones: infinity or NaN
  for (let i = begin; i < end; i++) {
    if (dtype === "f32" ? Number.isFinite(values[i]) : (values[i] & exponent) !== exponent) continue;
    const got = dtype === "f32" ? values[i] : `bits 0x${values[i].toString(16)}`;
    throw new FormatError(WHERE, `values[${i}]`, { expected: "a finite number", got, hint: "`nan: \"keep\"` goes on, and makes the block of such a value meaningless" });
  }
}
