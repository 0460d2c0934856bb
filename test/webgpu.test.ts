import { spawnSync } from "node:child_process";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDevice, openHardwareGpu } from "../src/create-device.ts";
import type { Device } from "../src/device.ts";
import { DeviceError, KernelError, MemoryError, ShapeError } from "../src/errors.ts";
import { defineOp, type Op } from "../src/op.ts";
import * as ops from "../src/ops/index.ts";
import { GRID } from "../src/ops/gpu-lib.ts";
import { viewTensor } from "../src/tensor.ts";
import { WebGpuDevice } from "../src/webgpu/device.ts";
import { testGpu, webGpuDevice } from "./support/devices.ts";

const { addScaled, copy, fill } = ops;

// Without an adapter: what a user without a GPU reads.
const absent = suite("webgpu: nothing to compute on");
async function refusal(options: Parameters<typeof WebGpuDevice.create>[0]): Promise<Error> {
  try {
    await (await WebGpuDevice.create(options)).dispose();
  } catch (error) {
    return error as Error;
  }
  return assert.unreachable("a device was created") as never;
}
absent("a runtime without WebGPU", async () => {
  if ((globalThis.navigator as { gpu?: GPU } | undefined)?.gpu) return;
  const error = await refusal({});
  assert.instance(error, DeviceError);
  assert.match(error.message, /no WebGPU: expected navigator\.gpu, got nothing\n {2}hint: .*npm install webgpu.*wasm/);
});
absent("no adapter", async () => {
  const error = await refusal({ gpu: { requestAdapter: async () => null } as unknown as GPU });
  assert.instance(error, DeviceError);
  assert.match(error.message, /no GPU adapter: .*\n {2}hint: install a driver/);
});
absent("limits too small", async () => {
  const limits = { maxStorageBuffersPerShaderStage: 4, maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256 };
  const error = await refusal({ gpuAdapter: { info: { description: "small" }, features: new Set(), limits } as unknown as GPUAdapter });
  assert.instance(error, DeviceError);
  assert.match(error.message, /maxStorageBuffersPerShaderStage of small: expected at least 8, got 4/);
});
absent("an adapter that gives no device", async () => {
  const limits = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256 };
  const requestDevice = async () => { throw new Error("in use"); };
  const error = await refusal({ gpuAdapter: { info: { description: "busy" }, features: new Set(), limits, requestDevice } as unknown as GPUAdapter });
  assert.instance(error, DeviceError);
  assert.match(error.message, /busy gave no device: got in use/);
});

absent("an adapter that cannot compute, or says nothing of its limits", async () => {
  const limits = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 0, maxComputeInvocationsPerWorkgroup: 0, maxComputeWorkgroupSizeX: 0 };
  for (const [given, message] of [[limits, /maxComputeWorkgroupStorageSize of graphics: expected at least 16384, got 0\n {2}hint: use another adapter, or choose the device wasm/], [{}, /maxStorageBuffersPerShaderStage of graphics: expected at least 8\n/]] as const) {
    const error = await refusal({ gpuAdapter: { info: { description: "graphics" }, features: new Set(), limits: given } as unknown as GPUAdapter });
    assert.instance(error, DeviceError);
    assert.match(error.message, message);
  }
});
absent("a driver that fails when asked", async () => {
  const error = await refusal({ gpu: { requestAdapter: async () => { throw new Error("no Vulkan loader"); } } as unknown as GPU });
  assert.instance(error, DeviceError);
  assert.match(error.message, /the driver failed when asked for an adapter: got no Vulkan loader\n {2}hint: update the driver/);
});
absent("the package webgpu is not installed: exit code 3 and how to install it; auto says that it takes the CPU", async () => {
  const hooks = 'export async function resolve(name, context, next) { if (name === "webgpu") throw new Error("Cannot find package"); return next(name, context); }';
  const register = `import { register } from "node:module"; register(${JSON.stringify(`data:text/javascript,${encodeURIComponent(hooks)}`)});`;
  const { status, stderr } = spawnSync(process.execPath, ["--import", `data:text/javascript,${encodeURIComponent(register)}`, "dist/cli.js", "eval", "--model", "demo", "--data", "demo", "--device", "webgpu"], { encoding: "utf8" });
  assert.is(status, 3, stderr);
  assert.match(stderr, /nibblelm: webgpu: the package webgpu could not be loaded: got Cannot find package\n {2}hint: npm install webgpu, or choose the device wasm/);
  const { device, choice } = await openHardwareGpu(async () => { throw new DeviceError("webgpu", "the package webgpu could not be loaded"); }, {});
  assert.equal([device, choice], [undefined, "wasm: webgpu: the package webgpu could not be loaded"]);
});

absent("the command line without a driver exits with 3 and says what to try", () => {
  const { status, stderr } = spawnSync(process.execPath, ["dist/cli.js", "eval", "--model", "demo", "--data", "demo", "--device", "webgpu"], { encoding: "utf8", env: { ...process.env, VK_DRIVER_FILES: "/nonexistent.json", VK_ICD_FILENAMES: "/nonexistent.json" } });
  assert.is(status, 3, stderr);
  assert.match(stderr, /nibblelm: webgpu: no GPU adapter: .*\n {2}hint: install a driver .*wasm/);
});

const auto = (adapter: unknown): Promise<{ device: Device; choice: string }> => {
  const gpu = { requestAdapter: async () => adapter } as unknown as GPU;
  let choice = "";
  return createDevice({ gpu, onChoice: (text) => { choice = text; } }).then((device) => ({ device, choice }));
};
absent("auto computes on the CPU where no adapter is, and says so", async () => {
  const { device, choice } = await auto(null);
  assert.is(device.kind, "wasm");
  assert.match(choice, /^wasm: webgpu: no GPU adapter/);
  await device.dispose();
});
absent("auto does not take a software adapter", async () => {
  const { device, choice } = await auto({ info: { description: "llvmpipe (LLVM 15)" }, features: new Set(), limits: {} });
  assert.is(device.kind, "wasm");
  assert.is(choice, "wasm: the GPU adapter llvmpipe (LLVM 15) computes on the CPU, more slowly");
  await device.dispose();
});
absent("auto goes on without a GPU that gives no device", async () => {
  const limits = { maxStorageBuffersPerShaderStage: 8, maxComputeWorkgroupStorageSize: 16384, maxComputeInvocationsPerWorkgroup: 256, maxComputeWorkgroupSizeX: 256 };
  const { device, choice } = await auto({ info: { description: "Acme" }, features: new Set(), limits, requestDevice: async () => { throw new Error("in use"); } });
  assert.is(device.kind, "wasm");
  assert.match(choice, /^wasm: webgpu: Acme gave no device: got in use/);
  await device.dispose();
});
absent.run();

const first = await webGpuDevice({ ops: Object.values(ops) as unknown as Op[] }); // compiles every shader
if (first) {
  await onDevice(first, "limits of the adapter");
  await onDevice((await webGpuDevice({ defaultLimits: true }))!, "default limits");
  await failing();
}

/** What the op harness does not ask for. */
async function onDevice(device: WebGpuDevice, limits: string): Promise<void> {
  const here = suite(`webgpu, ${limits}: ${device.description}`);

  here("writes keep their place among ops", async () => {
    const y = device.allocate("f32", [4], "y");
    const x = device.allocate("f32", [4], "x");
    device.write(x, Float32Array.of(1, 2, 3, 4));
    device.run(copy, { x, y }, { n: 4 });
    device.write(x, Float32Array.of(5, 6, 7, 8));
    device.run(addScaled, { x, y }, { n: 4, alpha: 10 });
    assert.equal([...(await device.read(y))], [51, 62, 73, 84]);
    for (const t of [x, y]) device.free(t);
  });

  here("a write of any bytes changes those alone", async () => {
    const t = device.allocate("u8", [30], "bytes");
    for (const [offset, length] of [[0, 30], [0, 3], [1, 2], [5, 1], [3, 9], [4, 4], [7, 13], [27, 3], [2, 0], [29, 1]]) {
      device.write(t, new Uint8Array(30).fill(7));
      device.write(viewTensor(t, [length], offset), Uint8Array.from({ length }, (_, i) => 100 + i));
      const want = Uint8Array.from({ length: 30 }, (_, i) => (i >= offset && i < offset + length ? 100 + i - offset : 7));
      assert.equal(await device.read(t), want, `${length} bytes at ${offset}`);
      assert.equal(await device.read(viewTensor(t, [length], offset)), want.slice(offset, offset + length));
    }
    assert.throws(() => device.write(t, new Uint8Array(31)), (error: unknown) => error instanceof ShapeError);
    device.free(t);
  });

  here("a tensor freed right after it was used: what was queued with it is done first", async () => {
    const [x, y] = [device.allocate("f32", [1000], "x"), device.allocate("f32", [1000], "y")];
    device.run(fill, { y: x }, { n: 1000, value: 7 });
    device.run(copy, { x, y }, { n: 1000 });
    device.free(x);
    const reading = device.read(y);
    device.free(y);
    assert.ok(((await reading) as Float32Array).every((value) => value === 7));
    assert.throws(() => device.run(fill, { y }, { n: 1000, value: 1 }), (error: unknown) => error instanceof DeviceError && /y: expected a tensor of this device, got one that was freed/.test(error.message));
  });

  here("views at any element, and operands in one buffer", async () => {
    const t = device.allocate("f32", [300], "both");
    device.write(t, Float32Array.from({ length: 300 }, (_, i) => i));
    device.run(copy, { x: viewTensor(t, [10], 3), y: viewTensor(t, [10], 101) }, { n: 10 });
    device.run(addScaled, { x: viewTensor(t, [5], 64), y: viewTensor(t, [5], 128) }, { n: 5, alpha: 1 });
    const want = Float32Array.from({ length: 300 }, (_, i) => (i >= 101 && i < 111 ? i - 98 : i >= 128 && i < 133 ? 2 * i - 64 : i));
    assert.equal(await device.read(t), want);
    device.free(t);
  });

  here("a number of workgroups over 65,535", async () => {
    const workgroups = 70001;
    const number = defineOp({
      name: "number",
      operands: [{ name: "y", dtype: "u32", access: "out", shape: ({ n }) => [n] }],
      params: [{ name: "n", type: "u32" }],
      tiles: () => 1, cost: () => ({ bytes: 0, flops: 0 }), agreement: "bits", devices: ["webgpu"],
      gpu: {
        code: `struct Params { n: u32 }
          @group(0) @binding(0) var<uniform> params: Params;
          @group(0) @binding(1) var<storage, read_write> y: array<u32>;
          @compute @workgroup_size(1) fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u) {
            let i = workgroup_of(id, count);
            if (i < params.n) { y[i] += i + 1u; }
          }`,
        passes: [{ entry: "main", lib: [GRID], workgroups: ({ n }) => n }],
      },
    });
    const y = device.allocate("u32", [workgroups], "y");
    device.write(y, new Uint32Array(workgroups));
    device.run(number, { y }, { n: workgroups });
    assert.equal(await device.read(y), Uint32Array.from({ length: workgroups }, (_, i) => i + 1));
    device.free(y);
  });

  here("more dispatches than one submit takes", async () => {
    const y = device.allocate("f32", [8], "y");
    device.run(fill, { y }, { n: 8, value: 0 });
    const x = device.allocate("f32", [8], "x");
    device.run(fill, { y: x }, { n: 8, value: 1 });
    for (let i = 1; i <= 600; i++) device.run(addScaled, { x, y }, { n: 8, alpha: i });
    assert.equal([...(await device.read(y))], new Array(8).fill(180300));
    for (const t of [x, y]) device.free(t);
  });

  here("memory is counted, and a step creates no buffer", async () => {
    const { buffers, live } = device.memory;
    const x = device.allocate("f32", [1000], "x");
    const y = device.allocate("f32", [1000], "y");
    assert.is(device.memory.buffers, buffers + 2);
    assert.is(device.memory.live, live + 8000);
    assert.ok(device.memory.peak >= live + 8000);
    const step = async (): Promise<void> => {
      device.write(x, new Float32Array(1000).fill(1));
      device.run(fill, { y }, { n: 1000, value: 2 });
      device.run(addScaled, { x: viewTensor(x, [900], 1), y: viewTensor(y, [900], 3) }, { n: 900, alpha: 3 });
      await device.read(viewTensor(y, [1], 5));
    };
    await step();
    const { created, live: during } = device.memory;
    for (let i = 0; i < 20; i++) await step();
    assert.is(device.memory.created, created);
    assert.is(device.memory.live, during);
    for (const t of [x, y]) device.free(t);
    assert.is(device.memory.buffers, buffers);
    assert.is(device.memory.live, during - 8000);
  });

  here("reads at the same time, and of more than one piece", async () => {
    const n = 5 * 2 ** 20; // 20 MiB: more than the largest read-back buffer
    const t = device.allocate("f32", [n], "large");
    device.run(fill, { y: t }, { n, value: 3 });
    device.write(viewTensor(t, [1], n - 1), Float32Array.of(4));
    const [all, last] = await Promise.all([device.read(t), device.read(viewTensor(t, [2], n - 2))]);
    assert.is(all.length, n);
    assert.ok(all.subarray(0, n - 1).every((value) => value === 3));
    assert.equal([...last, all[n - 1]], [3, 4, 4]);
    device.free(t);
  });

  here("a table and a head that no shader can see whole are taken in pieces", async () => {
    const limit = device.adapter.limits["maxStorageBufferBindingSize"];
    if (limit > 2 ** 28) return; // the buffer would be too large for a test
    const k = 512;
    const rows = Math.ceil(limit / (4 * k)) + 100;
    const table = device.allocate("f32", [rows, k], "table");
    const value = (row: number, i: number): number => ((row * 7 + i) % 13) - 6;
    const data = new Float32Array(rows * k);
    for (let row = 0; row < rows; row++) for (let i = 0; i < k; i++) data[row * k + i] = value(row, i);
    device.write(table, data);

    const ids = Int32Array.of(0, rows - 1, rows - 101, rows - 100, 5, rows - 165, 70000 % rows);
    const picked = { ids: device.allocate("i32", [ids.length], "ids"), y: device.allocate("f32", [ids.length, k], "y") };
    device.write(picked.ids, ids);
    device.run(ops.embedding, { ...picked, table }, { rows: ids.length, vocab: rows, n: k, first: 0 });
    assert.equal(await device.read(picked.y), Float32Array.from({ length: ids.length * k }, (_, j) => value(ids[Math.floor(j / k)], j % k)));

    const m = 3;
    const x = device.allocate("f32", [m, k], "x");
    const y = device.allocate("f32", [m, rows], "logits");
    const ones = Float32Array.from({ length: m * k }, (_, j) => (j % 5) - 2 + Math.floor(j / k));
    device.write(x, ones);
    device.write(y, new Float32Array(m * rows).fill(100));
    const { created } = device.memory;
    for (const accumulate of [1, 0, 1]) device.run(ops.matmulNt, { x, w: table, y }, { m, n: rows, k, accumulate });
    const got = (await device.read(y)) as Float32Array;
    for (let row = 0; row < m; row++) {
      for (const column of [0, 1, rows - 101, rows - 100, rows - 165, rows - 164, rows - 1]) {
        let dot = 0; // whole numbers: exact in any order
        for (let i = 0; i < k; i++) dot += ones[row * k + i] * value(column, i);
        assert.is(got[row * rows + column], 2 * dot, `row ${row}, column ${column}`);
      }
    }
    assert.ok(device.memory.created <= created + 4, "pieces share their spare memory");
    for (const t of [table, x, y, ...Object.values(picked)]) device.free(t);
  });

  here("the GPU's own clock", async () => {
    const x = device.allocate("f32", [2 ** 20], "x");
    const seconds = await device.time(() => { for (let i = 0; i < 300; i++) device.run(fill, { y: x }, { n: 2 ** 20, value: i }); });
    if (device.adapter.features.includes("timestamp-query")) assert.ok(seconds! > 0 && seconds! < 60, `${seconds} s`);
    else assert.is(seconds, undefined);
    assert.is(((await device.read(x)) as Float32Array)[7], 299);
    device.free(x);
  });

  here("a tensor that no shader can see whole: in pieces where rows stand alone, else an error", async () => {
    const limit = limits === "default limits" ? 128 * 2 ** 20 : device.adapter.limits["maxStorageBufferBindingSize"];
    if (limit > 2 ** 28) return; // the buffer would be too large for a test
    const n = limit / 4 + 1;
    const y = device.allocate("f32", [n], "huge");
    device.run(fill, { y }, { n, value: 5 });
    for (const at of [0, n - 2]) assert.equal([...(await device.read(viewTensor(y, [2], at)))], [5, 5], `element ${at}`);
    const whole = { rows: 1, n, probability: 0, key0: 0, key1: 0, step: 0, sequence: 0, rowsPerSequence: 1, accumulate: 0 };
    assert.throws(() => device.run(ops.dropout, { x: y, y }, whole), (error: unknown) => error instanceof MemoryError && /huge is too large for one binding: expected at most .* maxStorageBufferBindingSize/.test(error.message));
    device.free(y);
  });

  here.after(() => device.dispose());
  here.run();
}

/** Errors that a GPU reports late, and devices that are taken away. */
async function failing(): Promise<void> {
  const here = suite("webgpu: failures");
  const gpu = (await testGpu())!;
  const broken = (code: string) => defineOp({
    name: "broken",
    operands: [{ name: "y", dtype: "f32", access: "out", shape: () => [1] }],
    params: [], tiles: () => 1, cost: () => ({ bytes: 0, flops: 0 }), agreement: "bits", devices: ["webgpu"],
    gpu: { code, passes: [{ entry: "main", lib: [GRID], workgroups: () => 1 }] },
  }) as Op;
  const header = "@group(0) @binding(1) var<storage, read_write> y: array<f32>;\n@compute @workgroup_size(1)\n";

  /** A device whose GPUDevice the test can reach. */
  async function reachable(): Promise<{ device: WebGpuDevice; inner: GPUDevice }> {
    const adapter = (await gpu.requestAdapter())!;
    let inner: GPUDevice | undefined;
    const request = adapter.requestDevice.bind(adapter);
    adapter.requestDevice = async (descriptor?: GPUDeviceDescriptor) => (inner = await request(descriptor));
    const device = await WebGpuDevice.create({ gpuAdapter: adapter });
    return { device, inner: inner! };
  }

  here("auto takes a GPU that is hardware", async () => {
    const adapter = (await gpu.requestAdapter())!;
    const hardware = new Proxy(adapter, {
      get: (target, name) => {
        if (name === "info") return { description: "Acme 9000" };
        const value = Reflect.get(target, name, target) as unknown;
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
    let choice = "";
    const device = await createDevice({ gpu, gpuAdapter: hardware, onChoice: (text) => { choice = text; } });
    assert.is(choice, "webgpu: Acme 9000");
    assert.match(device.description, /^webgpu \(Acme 9000/);
    await device.dispose();
  });

  here("a shader that does not compile names file and line", async () => {
    const error = await refusal({ gpu, ops: [broken(`${header}fn main() { y[0] = 1u; }`)] });
    assert.instance(error, KernelError);
    assert.match(error.message, /^gpu\/broken\.wgsl:3: the shader does not compile: got .*u32/);
  });

  here("found at its first use, it shows at the next read", async () => {
    const device = (await webGpuDevice())!;
    const y = device.allocate("f32", [1], "y");
    device.run(broken(`${header}fn main() { y[0] = nothing; }`), { y }, {});
    try {
      await device.read(y);
      assert.unreachable("the read succeeded");
    } catch (error) {
      assert.instance(error, KernelError);
      assert.match((error as Error).message, /^gpu\/broken\.wgsl:3: .*nothing/);
    }
    assert.throws(() => device.run(fill, { y }, { n: 1, value: 0 }), (error: unknown) => error instanceof KernelError, "and at every call after that");
    await device.dispose();
  });

  here("a lost device", async () => {
    const { device, inner } = await reachable();
    const y = device.allocate("f32", [1], "y");
    inner.destroy();
    const error = await device.lost;
    assert.instance(error, DeviceError);
    assert.match(error.message, /the device was lost .*\n {2}hint: create a new device/);
    assert.throws(() => device.run(fill, { y }, { n: 1, value: 0 }), (e: unknown) => e === error);
    assert.throws(() => device.allocate("f32", [1], "z"), (e: unknown) => e === error);
    for (const call of [() => device.read(y), () => device.finish()]) {
      assert.is(await call().then(() => undefined, (e: unknown) => e), error);
    }
    await device.dispose();
  });

  here("lost while it computes", async () => {
    const { device, inner } = await reachable();
    const y = device.allocate("f32", [1], "y");
    device.run(fill, { y }, { n: 1, value: 0 });
    const reading = device.read(y);
    inner.destroy();
    const error = await reading.then(() => undefined, (e: unknown) => e);
    assert.ok(error === undefined || error instanceof DeviceError, String(error));
    await device.dispose();
  });

  here("out of memory in createBuffer", async () => {
    const { device, inner } = await reachable();
    const pop = inner.popErrorScope.bind(inner);
    class GPUOutOfMemoryError { message = "allocation failed"; }
    inner.popErrorScope = () => pop().then(() => new GPUOutOfMemoryError());
    const y = device.allocate("f32", [1000000], "activations");
    inner.popErrorScope = pop;
    const error = await device.read(y).then(() => undefined, (e: unknown) => e);
    assert.instance(error, MemoryError);
    assert.match((error as Error).message, /no room for activations: expected free GPU memory, got 4 MiB\n {2}hint: use a smaller batch/);
    await device.dispose();
  });

  here("a tensor larger than any buffer", async () => {
    const device = (await webGpuDevice({ defaultLimits: true }))!;
    assert.throws(() => device.allocate("f32", [2 ** 28], "huge"), (error: unknown) => error instanceof MemoryError && /no room for huge: expected at most 256 MiB in one buffer, got 1024 MiB/.test(error.message));
    await device.dispose();
  });
  here.run();
}
