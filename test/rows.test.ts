import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Device } from "../src/device.ts";
import type { Op } from "../src/op.ts";
import { attention, matmulNf4Nn, matmulNf4Nt, matmulNn, matmulNt } from "../src/ops/index.ts";
import { testDevices } from "./support/devices.ts";
import { normals } from "./support/numbers.ts";
import type { Arrays } from "./support/op-case.ts";
import { runOp, sameBits } from "./support/run-op.ts";
import { randomWeights, weightsReference } from "./support/weights-4bit.ts";

type Params = Record<string, number>;

// What generation and the choice of micro-batches rely on: a row's bits do not depend on the rows computed beside it.
const M = 200; // a tile of 180 rows, and 20 that start another
const ROWS = [0, 1, 5, 37, 179, 180, 185, 199];

function run(device: Device, op: Op<never, never>, inputs: Arrays, params: Params): Promise<Arrays> {
  const test = { op: op as unknown as Op, cases: [], reference: () => ({}) };
  return runOp(device, test, { name: "", inputs, params, dtypes: { absmax: params["nested"] ? "u8" : "f32" } });
}

for (const device of await testDevices({ gpu: true })) {
  const rows = suite(`rows are independent on ${device.description}`);

  async function expectRows(op: unknown, left: string, out: string, depth: number, width: number, rest: Arrays, params: Params): Promise<void> {
    const x = normals(M * depth, 1);
    const all = (await run(device, op as Op<never, never>, { [left]: x, ...rest }, { ...params, m: M }))[out] as Float32Array;
    for (const row of ROWS) {
      const alone = await run(device, op as Op<never, never>, { [left]: x.slice(row * depth, (row + 1) * depth), ...rest }, { ...params, m: 1 });
      assert.ok(sameBits(alone[out], all.slice(row * width, (row + 1) * width)), `row ${row}`);
    }
  }

  // Weights whose rows are no whole runs of 32, whole runs with blocks that cross rows, whole blocks, and no whole vectors.
  for (const [n, k] of [[77, 600], [96, 352], [40, 320], [51, 37]]) {
    const dense = { n, k, accumulate: 0 };
    rows(`matmul-nt of ${n}×${k}`, () => expectRows(matmulNt, "x", "y", k, n, { w: normals(n * k, 2) }, dense));
    rows(`matmul-nn of ${n}×${k}`, () => expectRows(matmulNn, "x", "y", k, n, { w: normals(n * k, 2) }, { ...dense, xStride: k }));

    const quantized = { ...dense, dyStride: n, blocksize: 64, nested: 1, nestedOffset: 0.25, round: 0 };
    const weights = randomWeights(quantized, 3);
    rows(`matmul-nf4-nt of ${n}×${k}`, () => expectRows(matmulNf4Nt, "x", "y", k, n, weights, quantized));
    rows(`matmul-nf4-nn of ${n}×${k}`, () => expectRows(matmulNf4Nn, "dy", "dx", n, k, weights, quantized));

    for (const [round, m] of [[0, 1], [1, 40], [2, 6]]) rows(`4-bit matmuls of ${n}×${k} have the bits of the dequantized weight, round ${round}`, async () => {
      const quantized = { ...dense, dyStride: n, blocksize: 64, nested: 0, nestedOffset: 0, round };
      const weights = randomWeights(quantized, 4);
      weights["absmax"].forEach((value, i, all) => { all[i] = value * 10 ** -(i % 8); }); // down to f16's subnormals
      const w = Float32Array.from(weightsReference(weights, quantized));
      const x = normals(m * k, 1);
      const dy = normals(m * n, 4);
      const nt = await run(device, matmulNt as unknown as Op<never, never>, { x, w }, { ...dense, m });
      const nt4 = await run(device, matmulNf4Nt as unknown as Op<never, never>, { x, ...weights }, { ...quantized, m });
      assert.ok(sameBits(nt["y"], nt4["y"]), "nt");
      const nn = await run(device, matmulNn as unknown as Op<never, never>, { x: dy, w }, { m, n: k, k: n, xStride: n, accumulate: 0 });
      const nn4 = await run(device, matmulNf4Nn as unknown as Op<never, never>, { dy, ...weights }, { ...quantized, m });
      assert.ok(sameBits(nn["y"], nn4["dx"]), "nn");
    });
  }

  rows("attention: a token at a time, or all at once", async () => {
    const [length, heads, kvHeads, headDim] = [61, 3, 1, 20];
    const shared = { batch: 1, heads, kvHeads, headDim, scale: 0.25 };
    const q = normals(length * heads * headDim, 1);
    const k = normals(length * kvHeads * headDim, 2);
    const v = normals(length * kvHeads * headDim, 3);
    const op = attention as unknown as Op<never, never>;
    const all = await run(device, op, { q, k, v }, { ...shared, queryLength: length, keyLength: length });
    for (let i = 0; i < length; i++) {
      const inputs = { q: q.slice(i * heads * headDim, (i + 1) * heads * headDim), k: k.slice(0, (i + 1) * headDim), v: v.slice(0, (i + 1) * headDim) };
      const alone = await run(device, op, inputs, { ...shared, queryLength: 1, keyLength: i + 1 });
      assert.ok(sameBits(alone["y"], all["y"].slice(i * heads * headDim, (i + 1) * heads * headDim)), `query ${i}`);
    }
  });

  rows.run();
}
