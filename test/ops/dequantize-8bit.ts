import { dynamicTable } from "../../src/format/code-tables.ts";
import { dequantize8bit } from "../../src/ops/dequantize-8bit.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { integers, normals } from "../support/numbers.ts";

const f = Math.fround;

export function dequantize8bitReference(q: ArrayLike<number>, absmax: ArrayLike<number>, code: ArrayLike<number>, blocksize: number, offset: number): Float32Array {
  return Float32Array.from(q, (byte, i) => f(code[byte] * absmax[Math.floor(i / blocksize)]) + f(offset));
}

function sized(name: string, n: number, blocksize: number, offset: number, scale = 1): OpCase {
  const inputs = { q: Uint8Array.from(integers(n, 1, 256)), absmax: normals(Math.ceil(n / blocksize), 2, scale), code: dynamicTable() };
  return { name, params: { n, blocksize, offset: f(offset) }, inputs };
}

const zeroScale = sized("a scale of zero keeps its sign with offset −0", 300, 64, -0);
zeroScale.inputs.absmax.fill(0);

export default {
  op: dequantize8bit,
  cases: [
    sized("empty", 0, 64, 0), sized("one", 1, 256, 0.5), sized("odd", 1001, 64, 0.1), sized("large blocks", 9001, 4096, -0), sized("two tiles", 65536 + 301, 256, 0.7),
    sized("denormals", 300, 64, 0, 1e-42), zeroScale, { ...zeroScale, name: "and loses it with 0", params: { ...zeroScale.params, offset: 0 } },
  ],
  reference: ({ q, absmax, code }, { blocksize, offset }) => ({ y: dequantize8bitReference(q, absmax, code, blocksize, offset) }),
} satisfies OpTest;
