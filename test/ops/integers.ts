// Blockwise symmetric integers in plain loops; int8 and int4 differ in the number of levels only.
import type { OpCase } from "../support/op-case.ts";
import { normals } from "../support/numbers.ts";

const f = Math.fround;

function nearestEven(value: number): number {
  const below = Math.floor(value);
  const rest = value - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}

export function quantizeIntegers(x: ArrayLike<number>, n: number, blocksize: number, levels: number): { q: Int8Array; absmax: Float32Array } {
  const q = new Int8Array(n);
  const absmax = new Float32Array(Math.ceil(n / blocksize));
  for (let b = 0; b < absmax.length; b++) {
    const end = Math.min((b + 1) * blocksize, n);
    for (let i = b * blocksize; i < end; i++) if (Math.abs(x[i]) > absmax[b]) absmax[b] = Math.abs(x[i]);
    const factor = f(levels / Math.max(absmax[b], f(1e-36)));
    for (let i = b * blocksize; i < end; i++) {
      const steps = f(x[i] * factor);
      q[i] = Number.isNaN(steps) ? 0 : Math.max(-levels, Math.min(levels, nearestEven(steps)));
    }
  }
  return { q, absmax };
}

export function dequantizeIntegers(q: ArrayLike<number>, absmax: ArrayLike<number>, blocksize: number, levels: number): Float32Array {
  return Float32Array.from(q, (level, i) => level * f(absmax[Math.floor(i / blocksize)] / levels));
}

/** Two's complement nibbles, the even element in the high one. */
export function packNibbles(q: ArrayLike<number>): Uint8Array {
  const packed = new Uint8Array(Math.ceil(q.length / 2));
  for (let i = 0; i < q.length; i++) packed[i >> 1] |= (q[i] & 15) << (i % 2 === 0 ? 4 : 0);
  return packed;
}

export function unpackNibbles(packed: ArrayLike<number>, n: number): Int8Array {
  return Int8Array.from({ length: n }, (_, i) => {
    const nibble = i % 2 === 0 ? packed[i >> 1] >> 4 : packed[i >> 1] & 15;
    return nibble < 8 ? nibble : nibble - 16;
  });
}

function sized(name: string, x: Float32Array, blocksize = 64): OpCase {
  return { name, params: { n: x.length, blocksize }, inputs: { x } };
}

const withValues = (...values: number[]): Float32Array => { const x = normals(131, 8); x.set(values, 7); return x; };

export const integerCases: OpCase[] = [
  sized("empty", new Float32Array(0)), sized("one", normals(1, 1)), sized("odd tail", normals(1001, 2)), sized("large blocks", normals(9001, 3), 4096), sized("two tiles", normals(65536 + 301, 4), 256),
  sized("ties", Float32Array.from({ length: 512 }, (_, i) => (i - 256) / 2)), sized("ties of few levels", Float32Array.from({ length: 30 }, (_, i) => (i - 15) / 2), 32), sized("zeros", new Float32Array(70)),
  sized("denormals", normals(300, 5, 1e-41)), sized("huge", normals(300, 5, 8e37)), sized("NaN", withValues(NaN)), sized("infinities", withValues(Infinity, -Infinity, 0)),
];
