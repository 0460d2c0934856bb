// References and devices against files that bitsandbytes wrote: equal bits.
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { TypedArray } from "../src/dtype.ts";
import { codeTable, dynamicTable, rankTable } from "../src/format/code-tables.ts";
import { dynamicLut } from "../src/format/dynamic-lut.ts";
import dequantize4bitTest, { dequantize4bitReference, nestedScales } from "./ops/dequantize-4bit.ts";
import dequantize8bitTest from "./ops/dequantize-8bit.ts";
import { f32ToBf16, f32ToF16 } from "./ops/half.ts";
import quantize4bitTest from "./ops/quantize-4bit.ts";
import quantize8bitTest from "./ops/quantize-8bit.ts";
import { testDevices } from "./support/devices.ts";
import { readGolden } from "./support/golden.ts";
import type { Arrays, OpCase, OpTest } from "./support/op-case.ts";
import { runOp, sameBits } from "./support/run-op.ts";

interface Case { key: string; input: string; quant_type: "nf4" | "fp4"; blocksize: number; double_quant: boolean; shape: number[]; nested_offset?: number }
type Run = (test: OpTest, item: OpCase) => Promise<Arrays>;

const golden = readGolden("quant.safetensors");
const cases = JSON.parse(golden.metadata["cases"]) as Case[];
const INPUT_TYPES = ["f32", "f16", "bf16"];
const none = new Float32Array(0);

const tables = suite("golden: code tables");
tables("equal bits", () => {
  assert.ok(sameBits(codeTable("nf4"), golden.tensor("code.nf4")));
  assert.ok(sameBits(codeTable("fp4"), golden.tensor("code.fp4")));
  assert.ok(sameBits(dynamicTable(), golden.tensor("code.dynamic8")));
});
tables.run();

function typeOf(name: string): number {
  return ["F32", "F16", "BF16"].indexOf(golden.entry(name).dtype);
}

function expectBits(what: string, actual: TypedArray, name: string): void {
  assert.ok(sameBits(actual, golden.tensor(name)), `${what} differs from ${name}`);
}

/** Values that were rounded to the type of `inputType`, in its own bits, as files hold them. */
function stored(y: Float32Array, inputType: number): TypedArray {
  if (inputType === 0) return y;
  return Uint16Array.from(new Uint32Array(y.buffer), inputType === 1 ? f32ToF16 : f32ToBf16);
}

/** bitsandbytes' AVX-512 kernel (blocksizes under 2048) counts blocks from the start of each row, without the remainder. */
function countsBlocksByRow({ shape, blocksize }: Case): boolean {
  return shape.length > 1 && shape[1] % blocksize !== 0 && blocksize < 2048;
}

/** What that kernel reads as the factor of each element: a defect, whose values lie far from the input. */
function scalesByRow(scales: ArrayLike<number>, { shape: [rows, columns], blocksize }: Case): Float32Array {
  const perRow = Math.floor(columns / blocksize);
  return Float32Array.from({ length: rows * columns }, (_, i) => scales[Math.floor(i / columns) * perRow + Math.floor((i % columns) / blocksize)]);
}

/** The kernel's scalar tail makes −0 of FP4's second zero (code 8), its vector loop 0, as the table does. */
function withPlainZeros(values: TypedArray, packed: ArrayLike<number>, quantType: string): TypedArray {
  if (quantType !== "fp4") return values;
  return values.map((value, i) => ((i % 2 === 0 ? packed[i >> 1] >> 4 : packed[i >> 1] & 15) === 8 ? 0 : value)) as TypedArray;
}

async function checkCase(item: Case, run: Run): Promise<void> {
  const { key, input, blocksize, quant_type: type, double_quant: nested } = item;
  const x = golden.tensor(input);
  const inputType = typeOf(input);
  const n = x.length;
  const code = codeTable(type);
  const offset = nested ? item.nested_offset! : 0;

  const { packed, absmax } = await run(quantize4bitTest, { name: key, params: { n, blocksize, inputType }, inputs: { x, ...rankTable(code) }, dtypes: { x: INPUT_TYPES[inputType] } });
  expectBits("packed", packed, `${key}.packed`);
  let constants: { absmax: TypedArray; nestedAbsmax: TypedArray; nestedCode: Float32Array } = { absmax, nestedAbsmax: none, nestedCode: none };
  if (nested) {
    const eight = await run(quantize8bitTest, { name: key, params: { n: absmax.length, blocksize: 256, offset }, inputs: { x: absmax, lut: dynamicLut(dynamicTable()) } });
    constants = { absmax: eight.q, nestedAbsmax: eight.absmax, nestedCode: dynamicTable() };
    expectBits("nested absmax", eight.absmax, `${key}.nested_absmax`);
  }
  expectBits("absmax", constants.absmax, `${key}.absmax`);

  const params = { n, blocksize, nested: nested ? 1 : 0, nestedOffset: offset, round: inputType };
  const { y } = await run(dequantize4bitTest, { name: key, params, inputs: { packed, code, ...constants }, dtypes: { absmax: nested ? "u8" : "f32" } });
  const want = golden.tensor(`${key}.dequant`);
  const actual = withPlainZeros(stored(y as Float32Array, inputType), packed, type);
  if (!countsBlocksByRow(item)) return assert.ok(sameBits(actual, withPlainZeros(want, packed, type)), "dequantized values differ");
  const scales = nested ? nestedScales(constants.absmax, constants.nestedAbsmax, constants.nestedCode, offset) : absmax;
  const theirs = dequantize4bitReference(packed, scalesByRow(scales, item), code, n, 1, inputType);
  assert.ok(sameBits(stored(theirs, inputType), want), "the peer's defect is not what the comment says");
  const flat = dequantize4bitReference(packed, scales, code, n, blocksize, inputType);
  assert.ok(sameBits(stored(flat, inputType), stored(y as Float32Array, inputType)), "dequantized values differ from the flattened rule");
}

async function checkBlockwise8(blocksize: number, run: Run): Promise<void> {
  const x = golden.tensor("blockwise8.input");
  const n = x.length;
  const { q, absmax } = await run(quantize8bitTest, { name: "", params: { n, blocksize, offset: 0 }, inputs: { x, lut: dynamicLut(dynamicTable()) } });
  expectBits("q", q, `blockwise8.${blocksize}.q`);
  expectBits("absmax", absmax, `blockwise8.${blocksize}.absmax`);
  const { y } = await run(dequantize8bitTest, { name: "", params: { n, blocksize, offset: -0 }, inputs: { q, absmax, code: dynamicTable() } });
  expectBits("y", y, `blockwise8.${blocksize}.dequant`);
}

const byReference: Run = async (test, { inputs, params }) => test.reference(inputs, params) as Arrays;
const runs: [string, Run][] = [["reference", byReference]];
for (const device of await testDevices({ gpu: true })) runs.push([device.description, (test, item) => runOp(device, test, item)]);

for (const [name, run] of runs) {
  const fourBit = suite(`golden: 4-bit on ${name}`);
  assert.is(cases.length, 172);
  for (const item of cases) fourBit(item.key, () => checkCase(item, run));
  fourBit.run();
  const eightBit = suite(`golden: 8-bit on ${name}`);
  for (const blocksize of [64, 128, 256, 512, 1024, 2048, 4096]) eightBit(`blocksize ${blocksize}`, () => checkBlockwise8(blocksize, run));
  eightBit.run();
}
