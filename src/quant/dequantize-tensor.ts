import { NESTED_BLOCKSIZE } from "../format/quant-state.ts";
// One by one: the index would bring every op into `nibblelm/quant`.
import { dequantize4bit } from "../ops/dequantize-4bit.ts";
import { dequantizeInt4 } from "../ops/dequantize-int4.ts";
import { dequantizeInt8 } from "../ops/dequantize-int8.ts";
import type { WasmDevice } from "../wasm/device.ts";
import { CHUNK, chunksOf, withWorkspace, type Workspace } from "./chunks.ts";
import { checkQuantized, type QuantizedByTable, type QuantizedIntegers, type QuantizedTensor } from "./quantized-tensor.ts";

export interface DequantizeTensorOptions {
  /** A device of one thread; without one, kernels are instantiated for this call and dropped. */
  readonly device?: WasmDevice;
}

/**
 * The n values that a quantized tensor stands for, row-major. From f16 and bf16 tables' codes come rounded to
 * that type, as bitsandbytes gives them; integers are not rounded.
 * @throws ShapeError when the parts of `q` do not fit together.
 */
export function dequantizeTensor(q: QuantizedTensor, { device }: DequantizeTensorOptions = {}): Float32Array<ArrayBuffer> {
  const n = checkQuantized("dequantizeTensor", q);
  const values = new Float32Array(n);
  withWorkspace(device, (space) => ("code" in q ? fromTable(q, values, space) : fromIntegers(q, values, space)));
  return values;
}

function fromTable(q: QuantizedByTable, values: Float32Array, space: Workspace): void {
  const { blocksize, nested } = q;
  const n = values.length;
  const most = Math.min(n, CHUNK);
  const blocks = Math.ceil(most / blocksize);
  const code = space.put("f32", q.code, "code");
  const packed = space.allocate("u8", Math.ceil(most / 2), "packed");
  const absmax = space.allocate(nested ? "u8" : "f32", blocks, "absmax");
  const nestedAbsmax = nested ? space.allocate("f32", Math.ceil(blocks / NESTED_BLOCKSIZE), "nested absmax") : code;
  const nestedCode = nested ? space.put("f32", nested.code, "nested code") : code;
  const y = space.allocate("f32", most, "values");
  const params = { blocksize, nested: nested ? 1 : 0, nestedOffset: nested?.offset ?? 0, round: ["f32", "f16", "bf16"].indexOf(q.dtype) };
  for (const [at, chunk] of chunksOf(n)) {
    const block = at / blocksize; // a whole number of nested blocks, by the size of a chunk
    const end = Math.ceil((at + chunk) / blocksize);
    space.write(packed, q.packed.subarray(at / 2, Math.ceil((at + chunk) / 2)));
    space.write(absmax, q.absmax.subarray(block, end));
    if (nested) space.write(nestedAbsmax, nested.absmax.subarray(block / NESTED_BLOCKSIZE, Math.ceil(end / NESTED_BLOCKSIZE)));
    space.run(dequantize4bit, { packed, absmax, code, nestedAbsmax, nestedCode, y }, { n: chunk, ...params });
    space.read(y, values, at, chunk);
  }
}

function fromIntegers(q: QuantizedIntegers, values: Float32Array, space: Workspace): void {
  const { type, blocksize } = q;
  const n = values.length;
  const most = Math.min(n, CHUNK);
  const perByte = type === "int8" ? 1 : 2;
  const stored = space.allocate(type === "int8" ? "i8" : "u8", Math.ceil(most / perByte), "packed");
  const absmax = space.allocate("f32", Math.ceil(most / blocksize), "absmax");
  const y = space.allocate("f32", most, "values");
  for (const [at, chunk] of chunksOf(n)) {
    space.write(stored, q.packed.subarray(at / perByte, Math.ceil((at + chunk) / perByte)));
    space.write(absmax, q.absmax.subarray(at / blocksize, Math.ceil((at + chunk) / blocksize)));
    if (type === "int8") space.run(dequantizeInt8, { q: stored, absmax, y }, { n: chunk, blocksize });
    else space.run(dequantizeInt4, { packed: stored, absmax, y }, { n: chunk, blocksize });
    space.read(y, values, at, chunk);
  }
}
