import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { GpuTilingsFile } from "../src/io/gpu-tilings-node.ts";
import { TILINGS, type Op, type Tiling } from "../src/op.ts";
import { matmulNf4Nn, matmulNf4Nt, matmulNn, matmulNt, matmulTn } from "../src/ops/index.ts";
import { chooseTiling, fastestTiling, type Probe } from "../src/webgpu/fastest-tiling.ts";
import type { WebGpuDevice } from "../src/webgpu/device.ts";
import { webGpuDevice } from "./support/devices.ts";
import { normals } from "./support/numbers.ts";
import type { Arrays, OpTest } from "./support/op-case.ts";
import { runOp, sameBits } from "./support/run-op.ts";
import { randomWeights } from "./support/weights-4bit.ts";

// Tails of every tile and whole tiles, a depth with and without a rest, runs of 16, few rows, and lines that begin anywhere.
const SIZES = [[6, 20, 40], [70, 36, 64], [130, 68, 100], [261, 144, 32], [3, 48, 64], [4, 72, 52], [70, 35, 33]];
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
          const params = { m, n, k, dyStride: n, blocksize: 32, nested, nestedOffset: 0.25, round: 2 * nested, accumulate };
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
    const fastest = await fastestTiling(device, probes);
    assert.ok(TILINGS.includes(fastest));
    assert.is(device.tiling, "large");
    assert.is(device.memory.live, live);
  });

  here("an answer is remembered by adapter; one of another version is not taken", async () => {
    const as = (adapter: string, software: boolean): WebGpuDevice => new Proxy(device, {
      get: (target, name) => {
        if (name === "adapter") return { ...target.adapter, name: adapter, software };
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
      set: (target, name, value) => Reflect.set(target, name, value, target),
    });
    const bound = as("a GPU", false);
    const cache = new Map<string, string>([["a GPU", "no such"]]);
    const chosen = await chooseTiling(bound, probes, cache);
    assert.is(cache.get("a GPU"), chosen);
    const other = TILINGS.find((tiling) => tiling !== chosen)!;
    assert.is(await chooseTiling(bound, [], new Map([["a GPU", other]])), other, "not measured again");
    assert.is(await chooseTiling(as("llvmpipe", true), [], new Map([["llvmpipe", "large"]])), "registers", "nothing is measured on a CPU");
    assert.is(await chooseTiling(as("SwiftShader driver 5.0.0", true), [], new Map()), "workgroup");
  });

  here("the file of answers", async () => {
    const folder = mkdtempSync(join(tmpdir(), "tilings-"));
    const file = new GpuTilingsFile(folder);
    assert.is(await file.get("a GPU"), undefined);
    await file.set("a GPU", "large");
    await file.set("another", "registers");
    assert.equal([await new GpuTilingsFile(folder).get("a GPU"), await file.get("another")], ["large", "registers"]);
    writeFileSync(join(folder, "nibblelm", "gpu-tilings.json"), "{ torn");
    assert.is(await file.get("a GPU"), undefined);
    rmSync(folder, { recursive: true });
  });

  here.after(() => device.dispose());
  here.run();
}
