import { suite } from "uvu";
import * as assert from "uvu/assert";
import { TILINGS, type Op, type Tiling } from "../src/op.ts";
import { matmulNf4Nn, matmulNf4Nt, matmulNn, matmulNt, matmulTn } from "../src/ops/index.ts";
import { fastestTiling, type Probe } from "../src/webgpu/fastest-tiling.ts";
import { webGpuDevice } from "./support/devices.ts";
import { normals } from "./support/numbers.ts";
import type { Arrays, OpTest } from "./support/op-case.ts";
import { runOp, sameBits } from "./support/run-op.ts";
import { randomWeights } from "./support/weights-4bit.ts";

// Tails of every tile and whole tiles, a depth with and without a rest, a run of 32, few rows, and lines that begin anywhere.
const SIZES = [[6, 20, 40], [70, 36, 64], [130, 68, 100], [257, 132, 32], [4, 72, 52], [70, 35, 33]];
const DENSE = { nt: matmulNt, nn: matmulNn, tn: matmulTn };

const device = await webGpuDevice();
if (device) {
  const here = suite(`tilings: ${device.description}`);

  async function expectSameBits(op: unknown, inputs: Arrays, params: Record<string, number>, out: string): Promise<void> {
    const test: OpTest = { op: op as Op, cases: [], reference: () => ({}) };
    const run = async (tiling: Tiling): Promise<Arrays> => {
      device!.tiling = tiling;
      return runOp(device!, test, { name: "", inputs, params, dtypes: { absmax: params["nested"] ? "u8" : "f32" } });
    };
    const first = (await run(TILINGS[0]))[out];
    assert.ok(first.every(Number.isFinite));
    for (const tiling of TILINGS.slice(1)) assert.ok(sameBits(first, (await run(tiling))[out]), `${test.op.name} ${JSON.stringify(params)}: ${tiling} differs from ${TILINGS[0]}`);
  }

  for (const [kind, op] of Object.entries(DENSE)) {
    here(`matmul-${kind}: the same bits`, async () => {
      for (const [m, n, k] of SIZES) {
        for (const accumulate of [0, 1]) {
          const params = { m, n, k, accumulate, ...(kind === "nn" && { xStride: k }) };
          await expectSameBits(op, { x: normals(m * k, 1), w: normals(n * k, 2), y: normals(m * n, 3) }, params, "y");
        }
      }
    });
  }

  for (const [op, left, out] of [[matmulNf4Nt, "x", "y"], [matmulNf4Nn, "dy", "dx"]] as const) {
    here(`${op.name}: the same bits`, async () => {
      for (const [m, n, k] of SIZES) {
        for (const [nested, accumulate] of [[0, 1], [1, 0]]) {
          const params = { m, n, k, blocksize: 32, nested, nestedOffset: 0.25, round: 2 * nested, accumulate };
          const [depth, width] = left === "x" ? [k, n] : [n, k];
          await expectSameBits(op, { [left]: normals(m * depth, 1), ...randomWeights(params, 2), [out]: normals(m * width, 3) }, params, out);
        }
      }
    });
  }

  const probes: Probe[] = [{ op: matmulNt as unknown as Op, params: (size) => ({ m: 16, n: size, k: 16, accumulate: 0 }) }];
  here("the fastest is measured once, and leaves nothing behind", async () => {
    const { live } = device.memory;
    device.tiling = "large";
    const cache = new Map<string, Tiling>();
    const fastest = await fastestTiling(device, probes, cache);
    assert.ok(TILINGS.includes(fastest));
    assert.is(cache.get(device.adapter.name), fastest);
    assert.is(device.tiling, "large");
    assert.is(device.memory.live, live);
    const other = TILINGS.find((tiling) => tiling !== fastest)!;
    assert.is(await fastestTiling(device, probes, new Map([[device.adapter.name, other]])), other, "a remembered answer is not measured again");
    assert.ok(TILINGS.includes(await fastestTiling(device, probes, new Map([[device.adapter.name, "no such" as Tiling]]))), "an answer of another version is");
  });

  here.after(() => device.dispose());
  here.run();
}
