import { codeTable, dynamicTable } from "../../src/format/code-tables.ts";
import { dequantize4bit } from "../../src/ops/dequantize-4bit.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { integers, normals } from "../support/numbers.ts";
import { roundBf16, roundF16 } from "./half.ts";

const f = Math.fround;

/** Factors of the blocks from the bytes that double quantization leaves. */
export function nestedScales(absmax: ArrayLike<number>, nestedAbsmax: ArrayLike<number>, nestedCode: ArrayLike<number>, offset: number): Float32Array {
  return Float32Array.from(absmax, (q, b) => f(f(nestedCode[q] * nestedAbsmax[Math.floor(b / 256)]) + f(offset)));
}

export function dequantize4bitReference(packed: ArrayLike<number>, scales: ArrayLike<number>, code: ArrayLike<number>, n: number, blocksize: number, round = 0): Float32Array {
  const y = new Float32Array(n);
  for (let i = 0; i < n; i++) {
    const byte = packed[i >> 1];
    const value = f(code[i % 2 === 0 ? byte >> 4 : byte & 15] * scales[Math.floor(i / blocksize)]);
    y[i] = round === 1 ? roundF16(value) : round === 2 ? roundBf16(value) : value;
  }
  return y;
}

function sized(name: string, n: number, blocksize: number, { nested = 0, round = 0, scale = 1, code = codeTable("nf4") as Float32Array } = {}): OpCase {
  const blocks = Math.ceil(n / blocksize);
  const nestedBlocks = nested ? Math.ceil(blocks / 256) : 0;
  return {
    name: `${name}, n ${n}, blocksize ${blocksize}`,
    params: { n, blocksize, nested, nestedOffset: nested ? f(0.7 * scale) : 0, round },
    dtypes: { absmax: nested ? "u8" : "f32" },
    inputs: {
      packed: Uint8Array.from(integers(Math.ceil(n / 2), 1, 256)),
      absmax: nested ? Uint8Array.from(integers(blocks, 2, 256)) : normals(blocks, 2, scale).map(Math.abs),
      code,
      nestedAbsmax: normals(nestedBlocks, 3, scale).map(Math.abs),
      nestedCode: nested ? dynamicTable() : new Float32Array(0),
    },
  };
}

const special = sized("zero, denormal, infinite and NaN scales", 256, 32, { round: 1 });
special.inputs.absmax.set([0, 1e-45, 1e-38, Infinity, NaN, 65504, 7e4, 3.4e38]);

export default {
  op: dequantize4bit,
  cases: [
    sized("empty", 0, 64), sized("one", 1, 64), sized("three", 3, 64), sized("a block", 64, 64), sized("a block and one", 65, 64), sized("odd", 1001, 32),
    sized("large blocks", 9000, 4096), sized("two tiles", 65536 + 97, 64), sized("fp4", 333, 32, { code: codeTable("fp4") }),
    sized("any table", 500, 64, { code: normals(16, 9) }),
    sized("nested", 64 * 300 + 17, 64, { nested: 1 }), sized("nested, f16", 4099, 32, { nested: 1, round: 1 }),
    sized("f16", 999, 64, { round: 1 }), sized("bf16", 999, 64, { round: 2 }),
    sized("f16 denormals", 4096, 64, { round: 1, scale: 1e-5 }), sized("f16 overflow", 4096, 64, { round: 1, scale: 6e4 }),
    sized("bf16 denormals", 4096, 64, { round: 2, scale: 1e-39 }), sized("bf16 overflow", 4096, 64, { round: 2, scale: 3.4e38 }),
    special, { ...special, name: "the same, bf16", params: { ...special.params, round: 2 } },
  ],
  reference: ({ packed, absmax, code, nestedAbsmax, nestedCode }, { n, blocksize, nested, nestedOffset, round }) => {
    const scales = nested ? nestedScales(absmax, nestedAbsmax, nestedCode, nestedOffset) : absmax;
    return { y: dequantize4bitReference(packed, scales, code, n, blocksize, round) };
  },
} satisfies OpTest;
