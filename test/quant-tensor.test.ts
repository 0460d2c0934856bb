// The small entry, quantizeTensor and dequantizeTensor: the bits of bitsandbytes' files, and errors that say what is wrong.
import { kernels } from "#kernels";
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, ShapeError } from "../src/errors.ts";
import { codeTable, dynamicTable } from "../src/format/code-tables.ts";
import { CHUNK } from "../src/quant/chunks.ts";
import { dequantizeTensor } from "../src/quant/dequantize-tensor.ts";
import { quantizeTensor, type QuantizeTensorOptions } from "../src/quant/quantize-tensor.ts";
import { storageBytesOf, type QuantizedByTable, type QuantizedTensor } from "../src/quant/quantized-tensor.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { pickBuild } from "../src/wasm/kernels.ts";
import { dequantize4bitReference, nestedScales } from "./ops/dequantize-4bit.ts";
import { bitsOf, f32ToBf16, f32ToF16, fromBits } from "./ops/half.ts";
import { quantizeIntegers } from "./ops/integers.ts";
import { readGolden } from "./support/golden.ts";
import { normals } from "./support/numbers.ts";
import { sameBits } from "./support/run-op.ts";

interface Case { key: string; input: string; quant_type: "nf4" | "fp4"; blocksize: number; double_quant: boolean; shape: number[]; nested_offset?: number }

const golden = readGolden("quant.safetensors");
const cases = JSON.parse(golden.metadata["cases"]) as Case[];
const table = (values: Float32Array | Uint16Array, options: QuantizeTensorOptions): QuantizedByTable => quantizeTensor(values, options) as QuantizedByTable;
const dtypeOf = (name: string): "f32" | "f16" | "bf16" => golden.entry(name).dtype.toLowerCase() as "f32" | "f16" | "bf16";

function call(item: Case, more: QuantizeTensorOptions): QuantizedByTable {
  const { input, quant_type: type, blocksize, double_quant: doubleQuant, shape } = item;
  return table(golden.tensor(input) as Float32Array | Uint16Array, { type, blocksize, doubleQuant, shape, dtype: dtypeOf(input), ...more });
}

/** Unit in the last place of a positive f32. */
const ulp = (value: number): number => fromBits(bitsOf(value) + 1) - value;

for (const build of pickBuild() === "relaxed" ? (["simd", "relaxed"] as const) : (["simd"] as const)) {
  const device = WasmDevice.createSync({ wasm: kernels, build });
  const files = suite(`quantizeTensor: bitsandbytes' files, ${device.description}`);
  assert.is(cases.length, 172);
  for (const item of cases) {
    files(item.key, () => {
      const q = call(item, { device, nestedOffset: item.nested_offset });
      assert.equal(q.shape, item.shape);
      const same = (what: string, actual: Uint8Array | Float32Array): void => assert.ok(sameBits(actual, golden.tensor(`${item.key}.${what}`)), `${what} differs`);
      same("packed", q.packed);
      same("absmax", q.absmax);
      if (q.nested) same("nested_absmax", q.nested.absmax);
      // Held to the peer's `dequant` by golden: 4-bit; here to the reference, which that test holds to it.
      const scales = q.nested ? nestedScales(q.absmax, q.nested.absmax, q.nested.code, q.nested.offset) : q.absmax;
      const round = ["f32", "f16", "bf16"].indexOf(q.dtype);
      assert.ok(sameBits(dequantizeTensor(q, { device }), dequantize4bitReference(q.packed, scales, codeTable(item.quant_type), golden.tensor(item.input).length, q.blocksize, round)), "values differ");
      assert.is(device.memory.buffers, 1, "everything but the scratch is given back");
    });
    if (item.double_quant) {
      files(`${item.key}, its own offset`, () => {
        const { absmax, nested } = call(item, { device });
        const theirs = { offset: item.nested_offset!, absmax: golden.tensor(`${item.key}.absmax`), nested: golden.tensor(`${item.key}.nested_absmax`) };
        assert.ok(Math.abs(nested!.offset - theirs.offset) <= 2.2e-7 * theirs.offset, `offset ${nested!.offset}, theirs ${theirs.offset}`);
        let steps = 0;
        absmax.forEach((byte, i) => { const far = Math.abs(byte - theirs.absmax[i]); steps += far; if (far > 1) assert.unreachable(`absmax[${i}]: ${byte}, theirs ${theirs.absmax[i]}`); });
        assert.ok(steps <= 1, `${steps} bytes differ`);
        nested!.absmax.forEach((value, i) => assert.ok(Math.abs(value - theirs.nested[i]) <= 4 * ulp(theirs.offset), `nested absmax[${i}]: ${value}, theirs ${theirs.nested[i]}`));
      });
    }
  }
  files.run();
}

const entry = suite("quantizeTensor");

entry("an own table: 0.2121 becomes its entry 10, 0.1997", () => {
  const code = [-1, -0.71, -0.52, -0.39, -0.28, -0.19, -0.1, -0.03, 0, 0.0841, 0.1997, 0.2981, 0.41, 0.5502, 0.7234, 1];
  const values = Float32Array.of(1, 0.2121, 0.1997, -0.2121, 0.2488, 0.249, 0);
  const q = table(values, { code, doubleQuant: false });
  assert.is(q.type, "custom");
  assert.is(q.absmax[0], 1);
  const codes = [...values].map((_, i) => (i % 2 ? q.packed[i >> 1] & 15 : q.packed[i >> 1] >> 4));
  assert.equal(codes, [15, 10, 10, 5, 10, 11, 8]);
  assert.equal([...dequantizeTensor(q)], codes.map((c) => Math.fround(code[c])));
});

entry("defaults: NF4, blocks of 64, double quantization, 4.127 bits a weight", () => {
  const values = normals(64 * 256 * 4, 1, 0.02);
  const q = table(values, {});
  assert.equal([q.type, q.blocksize, q.dtype, q.shape], ["nf4", 64, "f32", [65536]]);
  assert.is((8 * storageBytesOf(q)) / values.length, 4 + 8 / 64 + 32 / (64 * 256));
  assert.is((8 * storageBytesOf(table(values, { doubleQuant: false }))) / values.length, 4.5);
  const y = dequantizeTensor(q);
  values.forEach((value, i) => assert.ok(Math.abs(value - y[i]) < 0.02));
});

entry("parts of the whole: sizes about a chunk give what one pass gives, in little memory", () => {
  const n = CHUNK + 2 * 4096 + 33;
  const values = normals(n, 2);
  for (const blocksize of [32, 4096]) {
    const device = WasmDevice.createSync({ wasm: kernels });
    const q = table(values, { blocksize, device, nestedOffset: 2 });
    const head = table(values.subarray(0, CHUNK), { blocksize, device, nestedOffset: 2 });
    const rest = table(values.subarray(CHUNK), { blocksize, device, nestedOffset: 2 });
    assert.ok(sameBits(q.packed.slice(0, CHUNK / 2), head.packed) && sameBits(q.packed.slice(CHUNK / 2), rest.packed));
    assert.ok(sameBits(q.absmax.slice(0, CHUNK / blocksize) as Uint8Array, head.absmax) && sameBits(q.absmax.slice(CHUNK / blocksize) as Uint8Array, rest.absmax));
    const y = dequantizeTensor(q, { device });
    assert.ok(sameBits(y.slice(0, CHUNK), dequantizeTensor(head, { device })) && sameBits(y.slice(CHUNK), dequantizeTensor(rest, { device })));
    assert.ok(device.memory.peak < 12 * 2 ** 20, `${device.memory.peak} bytes`);
  }
});

entry("more blocks than the device takes at once", () => {
  const [blocksize, more] = [32, 700];
  const values = new Float32Array((CHUNK + more) * blocksize);
  const part = normals(CHUNK, 4);
  for (let at = 0; at < values.length; at += CHUNK) values.set(part.subarray(0, Math.min(CHUNK, values.length - at)), at);
  const q = table(values, { blocksize, nestedOffset: 2 });
  const rest = table(values.subarray(CHUNK * blocksize), { blocksize, nestedOffset: 2 });
  assert.ok(sameBits(q.absmax.slice(CHUNK) as Uint8Array, rest.absmax) && sameBits(q.nested!.absmax.slice(CHUNK / 256), rest.nested!.absmax));
});

entry("int8 and int4, from every type of value", () => fc.assert(fc.property(fc.integer({ min: 1, max: 700 }), fc.nat(1000), fc.constantFrom("f32", "f16", "bf16"), fc.constantFrom("int8", "int4"), (n, seed, dtype, type) => {
  const bits = normals(n, seed).map((v) => (dtype === "f32" ? v : dtype === "f16" ? f32ToF16(bitsOf(v)) : f32ToBf16(bitsOf(v))));
  const device = WasmDevice.createSync({ wasm: kernels });
  const q = quantizeTensor(dtype === "f32" ? bits : Uint16Array.from(bits), { type, blocksize: 32, dtype, device });
  const values = dequantizeTensor(quantizeTensor(dtype === "f32" ? bits : Uint16Array.from(bits), { type: "int8", blocksize: 32, dtype, device }), { device });
  const step = Math.max(...values.map(Math.abs)) / 127;
  const levels = type === "int8" ? 127 : 7;
  const y = dequantizeTensor(q, { device });
  if (dtype === "f32") {
    const want = quantizeIntegers(bits, n, 32, levels);
    assert.ok(sameBits(q.absmax, want.absmax));
    if (type === "int8") assert.ok(sameBits(q.packed, want.q));
  }
  y.forEach((value, i) => assert.ok(Math.abs(value - values[i]) <= 0.51 * step * (1 + 127 / levels)));
}), { numRuns: 30 }));

entry("many calls without a device do not use up the address space", () => {
  for (let i = 0; i < 300; i++) assert.is(table(Float32Array.of(i + 1), {}).packed.length, 1);
});

entry.run();

const refused = suite("quantizeTensor: refused");
const x = normals(70, 3);

function refuses(kind: typeof ShapeError | typeof FormatError, message: RegExp, work: () => unknown): void {
  assert.throws(work, (error: unknown) => {
    assert.instance(error, kind);
    assert.match((error as Error).message, message);
    return true;
  });
}

refused("options", () => {
  const bits = new Uint16Array(4);
  refuses(ShapeError, /blocksize: expected one of 32, 64.*, got 48/, () => quantizeTensor(x, { blocksize: 48 }));
  refuses(ShapeError, /type: expected nf4, fp4, int8, int4, got nf5/, () => quantizeTensor(x, { type: "nf5" as "nf4" }));
  refuses(ShapeError, /dtype of a Uint16Array: expected f16 or bf16, got nothing/, () => quantizeTensor(bits));
  refuses(ShapeError, /dtype of a Uint16Array: expected f16 or bf16, got f32/, () => quantizeTensor(bits, { dtype: "f32" }));
  refuses(ShapeError, /dtype of a Float32Array: expected f32, got bf16/, () => quantizeTensor(x, { dtype: "bf16" }));
  refuses(ShapeError, /values: expected a Float32Array or a Uint16Array, got object/, () => quantizeTensor([1, 2] as unknown as Float32Array));
  refuses(ShapeError, /values: expected at least one, got 0/, () => quantizeTensor(new Float32Array(0)));
  refuses(ShapeError, /shape: expected 70 values in all, got \[7,11\]/, () => quantizeTensor(x, { shape: [7, 11] }));
  refuses(ShapeError, /shape: expected sizes.*got \[-7,-10\]/, () => quantizeTensor(x, { shape: [-7, -10] }));
  refuses(ShapeError, /code: expected 16 levels, got 3/, () => quantizeTensor(x, { code: [1, 2, 3] }));
  refuses(ShapeError, /code\[4\]: expected a finite number, got NaN/, () => quantizeTensor(x, { code: Array.from({ length: 16 }, (_, i) => (i === 4 ? NaN : i)) }));
  refuses(ShapeError, /code: expected none with int8/, () => quantizeTensor(x, { type: "int8", code: codeTable("nf4") }));
  refuses(ShapeError, /doubleQuant: expected false with int4, got true/, () => quantizeTensor(x, { type: "int4", doubleQuant: true }));
  refuses(ShapeError, /nestedOffset: expected a finite number, with doubleQuant, got NaN/, () => quantizeTensor(x, { nestedOffset: NaN }));
  refuses(ShapeError, /nestedOffset/, () => quantizeTensor(x, { nestedOffset: 1, doubleQuant: false }));
  refuses(ShapeError, /nan: expected refuse or keep/, () => quantizeTensor(x, { nan: "drop" as "keep" }));
});

refused("values that are no numbers, named by index", () => {
  const bad = Float32Array.from(x);
  bad[66] = NaN;
  bad[68] = Infinity;
  for (const type of ["nf4", "int8"] as const) refuses(FormatError, /values\[66\]: expected a finite number, got NaN/, () => quantizeTensor(bad, { type }));
  bad[66] = 0;
  for (const type of ["nf4", "int4"] as const) refuses(FormatError, /values\[68\]: expected a finite number, got Infinity/, () => quantizeTensor(bad, { type }));
  const bits = new Uint16Array(70);
  bits[3] = 0x7c00;
  refuses(FormatError, /values\[3\]: .*got bits 0x7c00/, () => quantizeTensor(bits, { dtype: "f16" }));
  quantizeTensor(bits, { dtype: "bf16" }); // 2^121
  quantizeTensor(bits, { dtype: "bf16", type: "int8" });
  bits[1] = 0xff81;
  refuses(FormatError, /values\[1\]: .*got bits 0xff81/, () => quantizeTensor(bits, { dtype: "bf16" }));
  const late = new Float32Array(CHUNK + 3);
  late[CHUNK + 1] = NaN;
  refuses(FormatError, new RegExp(`values\\[${CHUNK + 1}\\]`), () => quantizeTensor(late));
  const kept = dequantizeTensor(quantizeTensor(bad, { nan: "keep", doubleQuant: false }));
  assert.equal([kept.slice(0, 64).every(Number.isFinite), Number.isFinite(kept[68])], [true, false]);
});

refused("a tensor whose parts do not fit", () => {
  const q = table(x, {});
  const without = (change: object): (() => unknown) => () => dequantizeTensor({ ...q, ...change } as QuantizedTensor);
  refuses(ShapeError, /packed: expected Uint8Array of 35, got Uint8Array of 34/, without({ packed: q.packed.slice(1) }));
  refuses(ShapeError, /absmax: expected Float32Array of 2, got Uint8Array of 2/, without({ nested: undefined }));
  refuses(ShapeError, /code: expected Float32Array of 16, got nothing/, without({ code: undefined }));
  refuses(ShapeError, /blocksize/, without({ blocksize: 16 }));
  refuses(ShapeError, /type: expected .*got nf3/, without({ type: "nf3" }));
  refuses(ShapeError, /dtype/, without({ dtype: "f64" }));
  refuses(ShapeError, /shape/, without({ shape: [0] }));
  refuses(ShapeError, /nested\.absmax: expected Float32Array of 1/, without({ nested: { ...q.nested, absmax: new Float32Array(2) } }));
  refuses(ShapeError, /nested\.code/, without({ nested: { ...q.nested, code: dynamicTable().slice(1) } }));
  refuses(ShapeError, /nested\.offset/, without({ nested: { ...q.nested, offset: undefined } }));
});

refused.run();
