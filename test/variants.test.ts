import { suite } from "uvu";
import * as assert from "uvu/assert";
import { openDevice } from "../src/cli/device.ts";
import { Output } from "../src/cli/output.ts";
import { DeviceError, ShapeError } from "../src/errors.ts";
import { tilingsOf, type Op } from "../src/op.ts";
import { matmulNf4Nn, matmulNf4Nt, matmulNn, matmulNt, matmulTn } from "../src/ops/index.ts";
import { WebGpuDevice } from "../src/webgpu/device.ts";
import { passesOn } from "../src/webgpu/pipelines.ts";
import { buildOf, variantsOf } from "../src/webgpu/variants.ts";
import { requiredVariants, testGpu, webGpuDevice } from "./support/devices.ts";
import { normals } from "./support/numbers.ts";
import type { Arrays, OpTest } from "./support/op-case.ts";
import { runOp, sameBits } from "./support/run-op.ts";
import { randomWeights } from "./support/weights-4bit.ts";
import { variantDevices } from "./support/variants.ts";

const names = suite("variants: names");
names("a build names its variants in one order", () => {
  assert.equal([[], ["f16"], ["subgroups", "f16"]].map((variants) => buildOf(variants as never)), ["f32", "f16", "f16+subgroups"]);
  for (const build of ["f32", "f16", "subgroups", "f16+subgroups"]) assert.is(buildOf(variantsOf(build)), build);
});
names("a run of a later version is not taken for another", () => {
  for (const build of ["f16+f8", "", "subgroups+f16"]) assert.throws(() => variantsOf(build), (error: unknown) => error instanceof DeviceError && /expected f32, or f16 and subgroups/.test(error.message));
});
names("an adapter that cannot is named, with the feature it lacks, before it gives a device", async () => {
  const limits = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256 };
  const gpuAdapter = { info: { description: "plain" }, features: new Set(["subgroups"]), limits, requestDevice: async () => assert.unreachable() } as unknown as GPUAdapter;
  const refused = async (variants: readonly string[], kind: typeof ShapeError | typeof DeviceError, message: RegExp): Promise<void> => {
    const error = await WebGpuDevice.create({ gpuAdapter, variants: variants as never }).catch((e: unknown) => e);
    assert.instance(error, kind);
    assert.match((error as Error).message, message);
  };
  await refused(["subgroups", "f16"], DeviceError, /the variant f16 on plain: expected the feature shader-f16, got an adapter without it\n {2}hint: leave the variant away/);
  await refused(["f8"], ShapeError, /variant: expected f16, subgroups, got f8/);
});
names("every product is computed by exactly one shader, whatever the tiling and the variants", () => {
  const products = [matmulNt, matmulNn, matmulTn, matmulNf4Nt, matmulNf4Nn] as unknown as Op[];
  for (const build of ["f32", "f16", "subgroups", "f16+subgroups"]) {
    for (const tiling of tilingsOf(variantsOf(build))) {
      for (const op of products) for (const m of [1, 4, 5, 300]) for (const n of [3, 8, 64]) for (const k of [0, 1, 4, 32, 96]) {
        const params = { m, n, k, xStride: k, dyStride: n, accumulate: 0, blocksize: 32, nested: 0, nestedOffset: 0, round: 0 };
        const columns = op.name === matmulNf4Nn.name ? k : n;
        const passes = passesOn(op, tiling, variantsOf(build)).filter(({ workgroups }) => workgroups(params) > 0);
        assert.is(passes.length, columns ? 1 : 0, `${op.name} ${m}×${n}×${k}, ${build}, ${tiling}`);
      }
    }
  }
});
names.run();


/** Of sizes that leave tails in every tile. */
async function product(device: WebGpuDevice, op: unknown, m: number): Promise<Arrays[string]> {
  const [n, k] = [36, 64];
  const weights = { n, k, blocksize: 32, nested: 0, nestedOffset: 0, round: 0 };
  const params = { m, n, k, xStride: k, dyStride: n, accumulate: 0, ...(op === matmulNf4Nn && weights) };
  const inputs = { x: normals(m * k, 1), dy: normals(m * n, 1), w: normals(n * k, 2), y: normals(m * n, 3), dx: normals(m * k, 3), ...(op === matmulNf4Nn && randomWeights(weights, 2)) };
  const test: OpTest = { op: op as Op, cases: [], reference: () => ({}) };
  const outputs = await runOp(device, test, { name: "", params, inputs, dtypes: { absmax: "f32" } });
  return outputs[op === matmulNf4Nn ? "dx" : "y"];
}

const plain = await webGpuDevice();
const without = plain && (await product(plain, matmulNt, 3));
await plain?.dispose();

for (const device of plain ? await variantDevices(await testGpu(), console.log, requiredVariants) : []) {
  const here = suite(`variants: ${device.description}`);
  const [variant] = device.variants;

  here("it computes something else than the plain shaders", async () => {
    assert.not.ok(sameBits(await product(device, matmulNt, 3), without!));
  });

  if (variant === "f16") here("results do not depend on the tiling, and there is none without workgroup memory", async () => {
    assert.throws(() => { device.tiling = "registers"; }, (error: unknown) => error instanceof ShapeError && /tiling of the f16 kernels: expected workgroup, large, got registers/.test(error.message));
    for (const op of [matmulNt, matmulNn, matmulNf4Nn]) {
      const results: Arrays[string][] = [];
      for (const tiling of tilingsOf(device.variants)) {
        device.tiling = tiling;
        results.push(await product(device, op, 70));
      }
      assert.ok(results.slice(1).every((other) => sameBits(results[0], other)), op.name);
    }
  });

  here("a run that was begun with it is resumed with it, and with nothing else", async () => {
    const output = new Output(false);
    await using resumed = await openDevice({ device: "webgpu" }, output, device.build);
    assert.is(resumed.build, device.build);
    const other = await openDevice({ device: "webgpu", gpuVariants: [] }, output, device.build).catch((e: unknown) => e);
    assert.instance(other, DeviceError);
    assert.match((other as Error).message, /--resume: .*expected (f16|subgroups), got f32\n {2}hint: leave --gpu-variants away/);
  });

  here.after(() => device.dispose());
  here.run();
}
