// Exact ops on arbitrary input: equal bits to the plain references, and what quantization promises.
import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { codeTable, dynamicTable, rankTable } from "../src/format/code-tables.ts";
import { dynamicLut } from "../src/format/dynamic-lut.ts";
import { BLOCKSIZES } from "../src/ops/blocksize.ts";
import bf16ToF32Test from "./ops/bf16-to-f32.ts";
import dequantize4bitTest from "./ops/dequantize-4bit.ts";
import dequantize8bitTest from "./ops/dequantize-8bit.ts";
import dequantizeInt4Test from "./ops/dequantize-int4.ts";
import dequantizeInt8Test from "./ops/dequantize-int8.ts";
import f16ToF32Test from "./ops/f16-to-f32.ts";
import f32ToBf16Test from "./ops/f32-to-bf16.ts";
import f32ToF16Test from "./ops/f32-to-f16.ts";
import { bitsOf, f32ToBf16, f32ToF16 } from "./ops/half.ts";
import { unpackNibbles } from "./ops/integers.ts";
import matmulNf4NnTest from "./ops/matmul-nf4-nn.ts";
import matmulNf4NtTest from "./ops/matmul-nf4-nt.ts";
import quantize4bitTest, { nearThresholds, quantize4bitReference } from "./ops/quantize-4bit.ts";
import quantize8bitTest from "./ops/quantize-8bit.ts";
import quantizeInt4Test from "./ops/quantize-int4.ts";
import quantizeInt8Test from "./ops/quantize-int8.ts";
import { testDevices } from "./support/devices.ts";
import { integers, normals, randomSource } from "./support/numbers.ts";
import type { Arrays, OpCase, OpTest } from "./support/op-case.ts";
import { runOp, sameBits } from "./support/run-op.ts";
import { randomWeights, weightsReference } from "./support/weights-4bit.ts";

const RUNS = 40;
const seeds = fc.integer({ min: 0, max: 0x7fffffff });
const blocksizes = fc.constantFrom(...BLOCKSIZES);
/** Whole blocks and a tail of the last one. */
const lengths = fc.record({ blocksize: blocksizes, blocks: fc.nat(3), tail: fc.double({ min: 0, max: 1, noNaN: true }) })
  .map(({ blocksize, blocks, tail }) => ({ blocksize, n: blocks * blocksize + Math.floor(tail * (blocksize - 1)) }));
const anyLevel = fc.float({ min: -2, max: 2, noNaN: true });
const tables = fc.oneof(
  fc.constantFrom(codeTable("nf4"), codeTable("fp4")),
  fc.array(anyLevel, { minLength: 16, maxLength: 16 }).map((values) => Float32Array.from(values)),
);
/** Any bits at all: denormals, infinities, NaN of every payload. */
const anyBits = (n: number, seed: number): Uint32Array<ArrayBuffer> => Uint32Array.from(integers(n, seed, 4294967296));
const floats = (n: number, seed: number, exponent: number): Float32Array => {
  const x = normals(n, seed, 2 ** exponent);
  const random = randomSource(seed);
  for (let i = 0; i < n; i++) if (random() < 0.02) x[i] = [0, -0, 2 ** exponent, -(2 ** exponent), 1e-45][Math.floor(random() * 5)];
  return x;
};
const exponents = fc.integer({ min: -148, max: 126 });

const quantize4bitCases = fc.record({ length: lengths, seed: seeds, code: tables, inputType: fc.nat(2), exponent: exponents, wild: fc.boolean() })
  .map(({ length: { n, blocksize }, seed, code, inputType, exponent, wild }): OpCase => {
    const values = wild ? new Float32Array(anyBits(n, seed).buffer) : nearThresholds(code, blocksize, seed, Math.ceil(n / blocksize), exponent, exponent + 1).slice(0, n);
    const x = inputType === 0 ? values : Uint16Array.from(values, (v) => (inputType === 1 ? f32ToF16 : f32ToBf16)(bitsOf(v)));
    return { name: "", params: { n, blocksize, inputType }, inputs: { x, ...rankTable(code) }, dtypes: { x: ["f32", "f16", "bf16"][inputType] } };
  });

const dequantize4bitCases = fc.record({ length: lengths, seed: seeds, code: tables, nested: fc.nat(1), round: fc.nat(2), offset: anyLevel, exponent: exponents })
  .map(({ length: { n, blocksize }, seed, code, nested, round, offset, exponent }): OpCase => {
    const blocks = Math.ceil(n / blocksize);
    const bytes = (length: number, salt: number): Uint8Array => Uint8Array.from(integers(length, seed + salt, 256));
    const absmax = nested ? bytes(blocks, 1) : floats(blocks, seed, exponent).map(Math.abs);
    const nestedAbsmax = floats(nested ? Math.ceil(blocks / 256) : 0, seed, exponent);
    const nestedCode = nested ? dynamicTable() : new Float32Array(0);
    return { name: "", params: { n, blocksize, nested, nestedOffset: offset, round }, inputs: { packed: bytes(Math.ceil(n / 2), 2), absmax, code, nestedAbsmax, nestedCode }, dtypes: { absmax: nested ? "u8" : "f32" } };
  });

const realCases = (more: (n: number, seed: number) => Arrays = () => ({}), params: Record<string, number> = {}): fc.Arbitrary<OpCase> =>
  fc.record({ length: lengths, seed: seeds, exponent: exponents, wild: fc.boolean() }).map(({ length: { n, blocksize }, seed, exponent, wild }) => {
    const x = wild ? new Float32Array(anyBits(n, seed).buffer) : floats(n, seed, exponent);
    return { name: "", params: { n, blocksize, ...params }, inputs: { x, ...more(n, seed) } };
  });

const integerCases = (levels: 7 | 127): fc.Arbitrary<OpCase> => fc.record({ length: lengths, seed: seeds, exponent: exponents }).map(({ length: { n, blocksize }, seed, exponent }) => {
  const absmax = floats(Math.ceil(n / blocksize), seed, exponent).map(Math.abs);
  const bytes = integers(levels === 7 ? Math.ceil(n / 2) : n, seed, 256);
  const inputs: Arrays = levels === 7 ? { packed: Uint8Array.from(bytes), absmax } : { q: Int8Array.from(bytes), absmax };
  return { name: "", params: { n, blocksize }, inputs };
});

const dequantize8bitCases = fc.record({ length: lengths, seed: seeds, exponent: exponents, offset: anyLevel }).map(({ length: { n, blocksize }, seed, exponent, offset }): OpCase =>
  ({ name: "", params: { n, blocksize, offset }, inputs: { q: Uint8Array.from(integers(n, seed, 256)), absmax: floats(Math.ceil(n / blocksize), seed, exponent), code: dynamicTable() } }));

const halves = lengths.chain(({ n }) => seeds.map((seed): OpCase => ({ name: "", params: { n }, inputs: { x: Uint16Array.from(anyBits(n, seed)) } })));
const singles = lengths.chain(({ n }) => seeds.map((seed): OpCase => ({ name: "", params: { n }, inputs: { x: new Float32Array(anyBits(n, seed).buffer) } })));

const ARBITRARY: readonly (readonly [OpTest, fc.Arbitrary<OpCase>])[] = [
  [quantize4bitTest, quantize4bitCases], [dequantize4bitTest, dequantize4bitCases],
  [quantize8bitTest, realCases(() => ({ lut: dynamicLut(dynamicTable()) }), { offset: 0.25 })], [dequantize8bitTest, dequantize8bitCases],
  [quantizeInt8Test, realCases()], [quantizeInt4Test, realCases()], [dequantizeInt8Test, integerCases(127)], [dequantizeInt4Test, integerCases(7)],
  [f16ToF32Test, halves], [bf16ToF32Test, halves], [f32ToF16Test, singles], [f32ToBf16Test, singles],
];

/** NaN equals NaN: its bits are a device's own affair unless a contract says otherwise, as the table of cases tests. */
function expectSame(actual: ArrayLike<number>, want: ArrayLike<number>, what: string): void {
  assert.is(actual.length, want.length, `${what}: length`);
  for (let i = 0; i < want.length; i++) if (!Object.is(actual[i], want[i])) assert.unreachable(`${what}[${i}]: expected ${want[i]}, got ${actual[i]}`);
}

const devices = await testDevices({ gpu: true });

for (const device of devices) {
  const here = suite(`any input on ${device.description}`);
  for (const [test, cases] of ARBITRARY) {
    here(`${test.op.name}: the bits of the reference`, () => fc.assert(fc.asyncProperty(cases, async (item) => {
      const actual = await runOp(device, test, item);
      const want = test.reference(structuredClone(item.inputs), item.params);
      for (const [name, values] of Object.entries(actual)) expectSame(values, want[name], name);
    }), { numRuns: RUNS }));
  }

  const ranges = fc.record({ n: fc.integer({ min: 1, max: 90 }), k: fc.integer({ min: 1, max: 150 }), blocksize: fc.constantFrom(32, 64, 128), nested: fc.nat(1), round: fc.nat(2), seed: seeds });
  const identity = (n: number): Float32Array => Float32Array.from({ length: n * n }, (_, i) => (i % (n + 1) === 0 ? 1 : 0));
  // A product with the identity is the weights themselves, decoded from wherever panels and rows happen to begin.
  here("decode of arbitrary ranges, by the kernels that multiply", () => fc.assert(fc.asyncProperty(ranges, async ({ seed, ...sizes }) => {
    const { n, k, nested } = sizes;
    const params = { ...sizes, dyStride: sizes.n, nestedOffset: 0.25, accumulate: 0 };
    const weights = randomWeights(params, seed);
    const want = weightsReference(weights, params);
    const dtypes = { absmax: nested ? "u8" : "f32" };
    const { y } = await runOp(device, matmulNf4NtTest, { name: "", params: { ...params, m: k }, inputs: { x: identity(k), ...weights, y: new Float32Array(k * n) }, dtypes });
    const { dx } = await runOp(device, matmulNf4NnTest, { name: "", params: { ...params, m: n }, inputs: { dy: identity(n), ...weights, dx: new Float32Array(n * k) }, dtypes });
    for (let i = 0; i < n * k; i++) {
      const row = Math.floor(i / k), column = i % k;
      if (y[column * n + row] !== want[i]) assert.unreachable(`nt: W[${row}, ${column}]: expected ${want[i]}, got ${y[column * n + row]}`);
      if (dx[i] !== want[i]) assert.unreachable(`nn: W[${row}, ${column}]: expected ${want[i]}, got ${dx[i]}`);
    }
  }), { numRuns: RUNS }));
  here.run();
}

const promises = suite("quantization: what it promises");

const scaledBlocks = fc.record({ seed: seeds, blocksize: blocksizes, exponent: fc.integer({ min: -100, max: 100 }) });

promises("every value becomes the nearest level, up to the rounding of two operations", () => fc.assert(fc.property(scaledBlocks, tables, ({ seed, blocksize, exponent }, code) => {
  const x = nearThresholds(code, blocksize, seed, 1, exponent, exponent + 1);
  const { thresholds, codes } = rankTable(code);
  const { packed, absmax } = quantize4bitReference(x, thresholds, codes, blocksize, blocksize);
  x.forEach((value, i) => {
    const s = value / absmax[0];
    const distance = Math.abs(code[i % 2 === 0 ? packed[i >> 1] >> 4 : packed[i >> 1] & 15] - s);
    const least = code.reduce((d, level) => Math.min(d, Math.abs(level - s)), Infinity);
    if (distance > least + 2 ** -21) assert.unreachable(`${value}: ${distance} from its level, ${least} from the nearest`);
  });
})));

promises("NF4 of what NF4 kept changes nothing", () => fc.assert(fc.property(scaledBlocks, ({ seed, blocksize, exponent }) => {
  const code = codeTable("nf4");
  const { thresholds, codes } = rankTable(code);
  const first = quantize4bitReference(normals(blocksize, seed, 2 ** exponent), thresholds, codes, blocksize, blocksize);
  const y = dequantize4bitTest.reference({ packed: first.packed, absmax: first.absmax, code, nestedAbsmax: new Float32Array(0), nestedCode: new Float32Array(0) }, { n: blocksize, blocksize, nested: 0, nestedOffset: 0, round: 0 })["y"];
  const second = quantize4bitReference(y, thresholds, codes, blocksize, blocksize);
  assert.ok(sameBits(second.packed, first.packed) && sameBits(second.absmax, first.absmax));
})));

promises("int4 keeps each value within half a step", () => fc.assert(fc.property(scaledBlocks, ({ seed, blocksize, exponent }) => {
  const x = floats(blocksize, seed, exponent);
  const { packed, absmax } = quantizeInt4Test.reference({ x }, { n: blocksize, blocksize });
  const step = absmax[0] / 7;
  unpackNibbles(packed, blocksize).forEach((level, i) => assert.ok(Math.abs(level * step - x[i]) <= step * (0.5 + 2 ** -20), `${x[i]} became ${level} steps of ${step}`));
})));

promises.run();

const lut = suite("dynamic-lut");

/** The lowest of the nearest codes, by looking at all of them. */
function nearest(table: ArrayLike<number>, value: number): number {
  let best = 0;
  for (let code = 1; code < 256; code++) if (Math.abs(table[code] - value) < Math.abs(table[best] - value)) best = code;
  return best;
}

lut("the nearest code, for any ascending table", () => fc.assert(fc.property(fc.uniqueArray(fc.integer({ min: -70000, max: 70000 }), { minLength: 256, maxLength: 256 }), (steps) => {
  const table = Float64Array.from(steps.sort((a, b) => a - b), (step) => step / 65535);
  const entries = dynamicLut(table);
  for (let i = 0; i < 65536; i += 13) assert.is(entries[i], nearest(table, -1 + (2 * i) / 65535));
}), { numRuns: 20 }));

lut("a tie goes to the lower code", () => {
  // Only at ±1 is an entry's value exact: 0.5 and 1.5 are equally far from 1, −1.5 and −0.5 from −1.
  const table = Float64Array.from({ length: 256 }, (_, i) => (i === 0 ? -1.5 : i === 255 ? 1.5 : (i - 127.5) / 253));
  const entries = dynamicLut(table);
  assert.is(entries[0], 0);
  assert.is(entries[65535], 254);
});

lut.run();
