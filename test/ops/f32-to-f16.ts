import { f32ToF16 } from "../../src/ops/f32-to-f16.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { integers } from "../support/numbers.ts";
import { bitsOf, f16ToF32, f32ToF16 as narrow } from "./half.ts";

function sized(name: string, bits: Uint32Array): OpCase {
  return { name, params: { n: bits.length }, inputs: { x: new Float32Array(bits.buffer) } };
}

/** Every f16, the middle between it and the next, and the neighbours of both: all roundings that there are. */
export function aroundEvery(values: number[]): Uint32Array<ArrayBuffer> {
  const points = values.flatMap((value, i) => [value, (value + (values[i + 1] ?? value)) / 2]);
  return Uint32Array.from(points.flatMap((value) => { const bits = bitsOf(value); return bits ? [bits - 1, bits, bits + 1] : [0, 1]; }).flatMap((bits) => [bits, bits | 0x80000000]));
}

const finite = Array.from({ length: 0x7c00 }, (_, i) => f16ToF32(i));
const random = Uint32Array.from(integers(70003, 1, 4294967296));
const special = Uint32Array.of(0, 0x80000000, 0x7f800000, 0xff800000, 0x7f800001, 0xffffffff, 0x7fc00000, 0x477fefff, 0x477ff000, 0x7f7fffff, 1);

export default {
  op: f32ToF16,
  cases: [sized("empty", new Uint32Array(0)), sized("around every f16", aroundEvery([...finite, 65536])), sized("any bits", random), sized("special", special)],
  reference: ({ x }) => ({ y: Uint16Array.from(new Uint32Array(x.buffer), narrow) }),
} satisfies OpTest;
