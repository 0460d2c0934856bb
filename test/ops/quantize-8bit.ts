import { dynamicTable } from "../../src/format/code-tables.ts";
import { dynamicLut } from "../../src/format/dynamic-lut.ts";
import { quantize8bit } from "../../src/ops/quantize-8bit.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { normals } from "../support/numbers.ts";

const f = Math.fround;

export function quantize8bitReference(x: ArrayLike<number>, lut: ArrayLike<number>, n: number, blocksize: number, offset: number): { q: Uint8Array; absmax: Float32Array } {
  const q = new Uint8Array(n);
  const absmax = new Float32Array(Math.ceil(n / blocksize));
  const d = Float32Array.from({ length: n }, (_, i) => x[i] - f(offset));
  for (let b = 0; b < absmax.length; b++) {
    const end = Math.min((b + 1) * blocksize, n);
    for (let i = b * blocksize; i < end; i++) if (Math.abs(d[i]) > absmax[b]) absmax[b] = Math.abs(d[i]);
    if (absmax[b] === 0) continue;
    const inverse = f(1 / absmax[b]);
    for (let i = b * blocksize; i < end; i++) {
      const s = Math.max(-1, Math.min(1, f(d[i] * inverse)));
      const index = Math.trunc(f(f(f(f(s + 1) * 0.5) * 65535) + 0.5));
      q[i] = lut[Number.isNaN(index) ? 0 : index];
    }
  }
  return { q, absmax };
}

const lut = dynamicLut(dynamicTable());

function sized(name: string, x: Float32Array, blocksize = 256, offset = 0): OpCase {
  return { name, params: { n: x.length, blocksize, offset: f(offset) }, inputs: { x, lut } };
}

const withValues = (...values: number[]): Float32Array => { const x = normals(300, 8); x.set(values, 7); return x; };

export default {
  op: quantize8bit,
  cases: [
    sized("empty", new Float32Array(0)), sized("one", normals(1, 1)), sized("one, itself the offset", Float32Array.of(0.3), 256, 0.3), sized("a block and three", normals(259, 1)),
    sized("smaller blocks", normals(1001, 2), 64), sized("larger blocks", normals(9001, 2), 4096), sized("two tiles", normals(65536 + 301, 3), 256, 0.1),
    sized("offset", normals(1001, 4).map(Math.abs), 256, 0.79), sized("zeros", new Float32Array(300)), sized("denormals", normals(300, 5, 1e-42)), sized("huge", normals(300, 5, 8e37)),
    sized("every index", Float32Array.from({ length: 65536 }, (_, i) => -1 + (2 * i) / 65535), 4096),
    sized("NaN", withValues(NaN, NaN)), sized("infinities", withValues(Infinity, -Infinity, 0)), sized("only NaN", new Float32Array(70).fill(NaN), 64),
  ],
  reference: ({ x, lut: table }, { n, blocksize, offset }) => quantize8bitReference(x, table, n, blocksize, offset),
} satisfies OpTest;
