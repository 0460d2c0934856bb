import { codeTable, rankTable } from "../../src/format/code-tables.ts";
import { quantize4bit } from "../../src/ops/quantize-4bit.ts";
import type { Arrays, OpCase, OpTest } from "../support/op-case.ts";
import { normals, randomSource } from "../support/numbers.ts";
import { bitsOf, f16ToF32, f32ToBf16, f32ToF16, fromBits } from "./half.ts";

const f = Math.fround;
const LEAST = f(1e-38);

export function quantize4bitReference(x: ArrayLike<number>, thresholds: ArrayLike<number>, codes: ArrayLike<number>, n: number, blocksize: number): { packed: Uint8Array; absmax: Float32Array } {
  const packed = new Uint8Array(Math.ceil(n / 2));
  const absmax = new Float32Array(Math.ceil(n / blocksize));
  const codeOf = (s: number): number => {
    if (Number.isNaN(s)) return codes[15];
    const clamped = Math.min(1, Math.max(-1, s));
    let rank = 0;
    for (let k = 0; k < 15; k++) if (clamped > thresholds[k]) rank++;
    return codes[rank];
  };
  for (let b = 0; b < absmax.length; b++) {
    const begin = b * blocksize;
    const end = Math.min(begin + blocksize, n);
    let largest = 0;
    for (let i = begin; i < end; i++) largest = Math.max(largest, Math.abs(x[i])); // NaN when one is
    const whole = end - begin === blocksize;
    const divisor = Math.max(largest, LEAST);
    const inverse = f(1 / divisor);
    absmax[b] = whole ? largest : divisor;
    for (let i = begin; i < end; i++) {
      const code = codeOf(whole ? f(x[i] * inverse) : f(x[i] / divisor));
      packed[i >> 1] |= i % 2 === 0 ? code << 4 : code;
    }
  }
  if (n % 2 === 1) packed[n >> 1] |= codeOf(0);
  return { packed, absmax };
}

/** The input as f32, whatever its type. */
function widen(x: ArrayLike<number>, inputType: number): ArrayLike<number> {
  if (inputType === 0) return x;
  return Float32Array.from(x, inputType === 1 ? f16ToF32 : (bits) => fromBits(bits << 16));
}

function sized(name: string, x: Float32Array, blocksize = 64, code: ArrayLike<number> = codeTable("nf4"), inputType = 0): OpCase {
  const inputs: Arrays = { x, ...rankTable(code) };
  if (inputType === 1) inputs.x = Uint16Array.from(x, (v) => f32ToF16(bitsOf(v)));
  if (inputType === 2) inputs.x = Uint16Array.from(x, (v) => f32ToBf16(bitsOf(v)));
  return { name, params: { n: x.length, blocksize, inputType }, inputs, dtypes: { x: ["f32", "f16", "bf16"][inputType] } };
}

/** Blocks whose scaled values lie within a few ulps of every threshold, for a random absmax each. */
export function nearThresholds(code: ArrayLike<number>, blocksize: number, seed: number, blocks = 24, low = -10, high = 10): Float32Array {
  const random = randomSource(seed);
  const { thresholds } = rankTable(code);
  const x = new Float32Array(blocks * blocksize);
  for (let b = 0; b < blocks; b++) {
    const absmax = f((1 + random()) * 2 ** Math.floor(low + random() * (high - low)));
    for (let i = 0; i < blocksize; i++) {
      const near = f(thresholds[Math.floor(random() * 15)] * absmax);
      x[b * blocksize + i] = i === 5 ? absmax : Math.max(-absmax, Math.min(absmax, near ? fromBits(bitsOf(near) + Math.floor(random() * 9) - 4) : near));
    }
  }
  return x;
}

const NF4_TABLE = codeTable("nf4");
const zeros = Float32Array.from({ length: 160 }, (_, i) => (i % 3 === 0 ? -0 : 0));
const blockWith = (...values: number[]): Float32Array => { const x = normals(64, 8); x.set(values, 7); return x; };
const unsorted = Float32Array.of(0.9, -0.3, 0.1, 0.31, -1, 0.5, 0.11, -0.62, 0.7, 1, 0.1997, -0.1, 0.2, 0.05, -0.12, 0.02);
const stepped = Float32Array.of(-1.0000003, -1.0000001, -1, -0.9999999, -0.5, 0, 0, 0, 0, 0.25, 0.5, 0.99999994, 1, 1.0000001, 1.0000002, 2);

export default {
  op: quantize4bit,
  cases: [
    sized("empty", new Float32Array(0)), sized("one", normals(1, 1)), sized("seven", normals(7, 1)), sized("a block", normals(64, 1)), sized("a block and one", normals(65, 1)),
    ...[32, 128, 256, 512, 1024, 2048, 4096].map((blocksize) => sized(`blocksize ${blocksize}, odd tail`, normals(3 * blocksize + 17, 2), blocksize)),
    sized("two tiles and a tail", normals(2 * 65536 + 77, 3, 0.02)),
    sized("zeros of both signs", zeros), sized("zeros, odd tail", zeros.slice(0, 131)),
    sized("denormals", normals(4096, 4, 1e-39)), sized("the smallest", Float32Array.from({ length: 66 }, (_, i) => (i % 5 - 2) * 1e-45)), sized("huge", normals(256, 4, 8e37)),
    sized("NaN", blockWith(NaN)), sized("infinities", blockWith(Infinity, -Infinity, 0, -0)), sized("NaN and infinity", blockWith(NaN, Infinity)),
    sized("NaN in the tail", blockWith(NaN).slice(0, 33)), sized("infinity in the tail", blockWith(-Infinity).slice(0, 33)),
    sized("near the thresholds", nearThresholds(codeTable("nf4"), 64, 1, 300)), sized("fp4 near the thresholds", nearThresholds(codeTable("fp4"), 64, 2, 300), 64, codeTable("fp4")),
    sized("fp4 with zeros", zeros, 32, codeTable("fp4")), sized("fp4, odd tail", normals(1001, 5), 64, codeTable("fp4")),
    sized("unsorted table", nearThresholds(unsorted, 64, 3), 64, unsorted), sized("table beyond 1", nearThresholds(stepped, 64, 4), 64, stepped), sized("table beyond 1, tail", nearThresholds(stepped, 32, 4).slice(0, 31), 64, stepped),
    // From 8.5e37 on the reciprocal is denormal, so that scaled values leave [−1, 1] and only the clamp keeps them.
    sized("table beyond 1, scaled values too", nearThresholds(stepped, 64, 5, 100, 127, 128), 64, stepped),
    sized("scaled values two ulps beyond 1", Float32Array.from({ length: 64 }, (_, i) => (i % 5 - 2) / 2 * fromBits(0x7f7ffffc)), 64, stepped),
    ...Array.from({ length: 20 }, (_, seed) => sized(`tail near the thresholds ${seed}`, nearThresholds(NF4_TABLE, 32, seed, 1).slice(0, 31), 64)),
    sized("one value in the table", normals(128, 6), 64, new Float32Array(16).fill(0.25)),
    sized("f16", normals(3001, 7), 128, codeTable("nf4"), 1), sized("bf16", normals(3001, 7), 128, codeTable("nf4"), 2), sized("f16 denormals", normals(256, 7, 1e-6), 64, codeTable("nf4"), 1),
    sized("f16 NaN", blockWith(NaN), 32, codeTable("nf4"), 1), sized("bf16 infinity", blockWith(Infinity), 32, codeTable("nf4"), 2),
  ],
  reference: ({ x, thresholds, codes }, { n, blocksize, inputType }) => quantize4bitReference(widen(x, inputType), thresholds, codes, n, blocksize),
} satisfies OpTest;
