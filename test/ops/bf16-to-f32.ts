import { bf16ToF32 } from "../../src/ops/bf16-to-f32.ts";
import type { OpCase, OpTest } from "../support/op-case.ts";
import { fromBits } from "./half.ts";

const all = Uint16Array.from({ length: 65536 }, (_, i) => i);
const sized = (name: string, x: Uint16Array): OpCase => ({ name, params: { n: x.length }, inputs: { x } });

export default {
  op: bf16ToF32,
  cases: [sized("empty", all.slice(0, 0)), sized("every bf16", all), sized("tail", all.slice(0x3ff0, 0x3ffd)), sized("two tiles", Uint16Array.from([...all, 0x3f80, 0xbf80, 0x0001]))],
  reference: ({ x }) => ({ y: Float32Array.from(x, (bits) => fromBits(bits << 16)) }),
} satisfies OpTest;
