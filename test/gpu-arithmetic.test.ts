import { suite } from "uvu";
import * as assert from "uvu/assert";
import { defineOp } from "../src/op.ts";
import { ARITHMETIC, elementwise } from "../src/ops/gpu-lib.ts";
import { webGpuDevice } from "./support/devices.ts";
import { randomSource } from "./support/numbers.ts";

// gpu/lib/arithmetic.wgsl against the processor's own f32 arithmetic: f64 results rounded once more, which for these
// three operations is the f32 result (Figueroa 1995: 53 ≥ 2 · 24 + 2 digits).
const arithmetic = defineOp({
  name: "arithmetic",
  operands: [
    { name: "a", dtype: "u32", access: "in", shape: ({ n }) => [n] }, { name: "b", dtype: "u32", access: "in", shape: ({ n }) => [n] },
    { name: "y", dtype: "u32", access: "out", shape: ({ n }) => [3 * n] },
  ],
  params: [{ name: "n", type: "u32" }],
  tiles: () => 1, cost: () => ({ bytes: 0, flops: 0 }), agreement: "bits", devices: ["webgpu"],
  gpu: {
    code: `struct Params { n: u32 }
      @group(0) @binding(0) var<uniform> params: Params;
      @group(0) @binding(1) var<storage, read> a: array<u32>;
      @group(0) @binding(2) var<storage, read> b: array<u32>;
      @group(0) @binding(3) var<storage, read_write> y: array<u32>;
      @compute @workgroup_size(256)
      fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
        let begin = workgroup_of(id, count) * ELEMENTS + lane;
        for (var i = begin; i < min(begin + ELEMENTS, params.n); i += 256u) {
          y[3u * i] = f32_product(a[i], b[i]);
          y[3u * i + 1u] = f32_quotient(a[i], b[i]);
          y[3u * i + 2u] = f32_sum(a[i], b[i]);
        }
      }`,
    passes: elementwise(({ n }) => n, ...ARITHMETIC),
  },
});

/** Exponents near each other in half of the pairs, near the ends in others; special values beside all kinds. */
function pairs(n: number): [Uint32Array, Uint32Array] {
  const random = randomSource(7);
  const word = (): number => Math.floor(random() * 2 ** 32);
  const special = [0, 1, 2, 0x7fffff, 0x800000, 0x800001, 0x3f800000, 0x3f7fffff, 0x7f7fffff, 0x7f800000, 0x7fc00000, 0x4b000001];
  const a = Uint32Array.from({ length: n }, (_, i) => (i % 16 < 12 ? word() : special[word() % special.length] | (word() & 0x80000000)));
  const b = Uint32Array.from(a, (bits, i) => {
    if (i % 4 === 0) return word();
    if (i % 4 === 1) return (bits & 0x7f800000) + (word() & 0x81ffffff); // within four binades
    if (i % 4 === 2) return (0x7f000000 - (bits & 0x7f800000) + (word() & 0x80ffffff)) >>> 0; // products near 1
    return special[word() % special.length] | (word() & 0x80000000);
  });
  return [a, b];
}

const device = await webGpuDevice();
if (device) {
  const here = suite(`f32 arithmetic on bits: ${device.description}`);
  here("products, quotients and sums have the bits of IEEE 754", async () => {
    const n = 300_000;
    const [bitsA, bitsB] = pairs(n);
    const a = device.allocate("u32", [n], "a"), b = device.allocate("u32", [n], "b"), y = device.allocate("u32", [3 * n], "y");
    device.write(a, bitsA);
    device.write(b, bitsB);
    device.run(arithmetic, { a, b, y }, { n });
    const got = (await device.read(y)) as Uint32Array;
    const [left, right] = [new Float32Array(bitsA.buffer), new Float32Array(bitsB.buffer)];
    const want = new Float32Array(1), wantBits = new Uint32Array(want.buffer);
    for (let i = 0; i < n; i++) {
      [left[i] * right[i], left[i] / right[i], left[i] + right[i]].forEach((value, which) => {
        want[0] = value;
        const bits = Number.isNaN(want[0]) ? 0x7fc00000 : wantBits[0];
        if (got[3 * i + which] !== bits) assert.unreachable(`${left[i]} ${"*/+"[which]} ${right[i]}: expected ${want[0]} (0x${bits.toString(16)}), got 0x${got[3 * i + which].toString(16)}`);
      });
    }
  });
  here.after(() => device.dispose());
  here.run();
}
