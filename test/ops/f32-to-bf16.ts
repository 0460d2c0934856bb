import { f32ToBf16 } from "../../src/ops/f32-to-bf16.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { integers } from "../support/numbers.ts";
import { aroundEvery } from "./f32-to-f16.ts";
import { f32ToBf16 as narrow, fromBits } from "./half.ts";

function sized(name: string, bits: Uint32Array): OpCase {
  return { name, params: { n: bits.length }, inputs: { x: new Float32Array(bits.buffer) } };
}

const finite = Array.from({ length: 0x7f80 }, (_, i) => fromBits(i << 16));
const random = Uint32Array.from(integers(70003, 1, 4294967296));
const special = Uint32Array.of(0, 0x80000000, 0x7f800000, 0xff800000, 0x7f800001, 0xffffffff, 0x7fc00000, 0x7f7f7fff, 0x7f7f8000, 0x7f7fffff, 1);

export default {
  op: f32ToBf16,
  cases: [sized("empty", new Uint32Array(0)), sized("around every bf16", aroundEvery(finite)), sized("any bits", random), sized("special", special)],
  reference: ({ x }) => ({ y: Uint16Array.from(new Uint32Array(x.buffer), narrow) }),
} satisfies OpTest;
