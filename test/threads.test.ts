// What the pool promises when something goes wrong: a typed error, never a hang, and a process that can end.
import { kernels } from "#kernels";
import { spawnSync } from "node:child_process";
import { pathToFileURL } from "node:url";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import type { Device } from "../src/device.ts";
import { nodeWorkers } from "../src/io/workers-node.ts";
import { addScaled, copy, fill, matmulNt } from "../src/ops/index.ts";
import { viewTensor, type Tensor } from "../src/tensor.ts";
import { WasmBuffer } from "../src/wasm/arena.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { planSteps, type PlacedOp, type Range } from "../src/wasm/program.ts";
import type { WorkerHandle, WorkerHost } from "../src/wasm/worker-host.ts";

const threads = suite("threads");
const N = 200_000; // four tiles of the row-wise ops

const open = (count: number, workers: WorkerHost = nodeWorkers): Promise<WasmDevice> => WasmDevice.create({ wasm: kernels, threads: count, workers });

/** A host whose workers the test can kill. */
function killable(): { host: WorkerHost; workers: WorkerHandle[] } {
  const workers: WorkerHandle[] = [];
  return { workers, host: { async spawn() { const worker = await nodeWorkers.spawn(); workers.push(worker); return worker; } } };
}

async function rejects(work: Promise<unknown>, code: string, message: RegExp): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise((_, fail) => { timer = setTimeout(() => fail(new Error("still waiting after 20 s")), 20_000); });
  const error = (await Promise.race([work, late]).then(() => undefined, (cause: unknown) => cause)) as Error & { code?: string };
  clearTimeout(timer);
  assert.is(error?.code, code, `${String(error)}`);
  assert.match(error.message, message);
}

/** x += 1, `times` times, of all N elements and of the first alone in turns: x[0] = 2 · times, the others = times. */
async function count(device: Device, times: number): Promise<Float32Array> {
  const one = device.allocate("f32", [N], "one"), x = device.allocate("f32", [N], "x");
  device.run(fill, { y: one }, { n: N, value: 1 });
  device.run(fill, { y: x }, { n: N, value: 0 });
  for (let i = 0; i < times; i++) {
    device.run(addScaled, { x: one, y: x }, { n: N, alpha: 1 });
    device.run(addScaled, { x: one, y: viewTensor(x, [1]) }, { n: 1, alpha: 1 });
  }
  const result = (await device.read(x)) as Float32Array;
  device.free(one);
  device.free(x);
  return result;
}

/** Far beyond the memory: whoever reads it traps. */
const nowhere = (n: number): Tensor => ({ dtype: "f32", shape: [n], buffer: new WasmBuffer(0xf0000000, 4 * n), byteOffset: 0, label: "nowhere" });

for (const workers of [1, 2, 3]) {
  threads(`ops of one tile and of many run in order, ${workers} threads`, async () => {
    await using device = await open(workers);
    const x = await count(device, 300);
    assert.is(x[0], 600);
    assert.ok(x.subarray(1).every((value) => value === 300));
  });

  threads(`a kernel that traps is a typed error, what is queued on it is dropped, and the device goes on, ${workers} threads`, async () => {
    await using device = await open(workers);
    const y = device.allocate("f32", [N], "y"), spare = device.allocate("f32", [N], "spare");
    device.run(fill, { y }, { n: N, value: 1 });
    device.run(copy, { x: nowhere(N), y }, { n: N });
    device.run(fill, { y }, { n: N, value: 2 });
    device.free(spare);
    const before = device.memory.buffers;
    await rejects(device.finish(), "ERR_KERNEL", /a kernel trapped: got copy: .*out of bounds/);
    assert.is(device.memory.buffers, before - 1);
    assert.ok((await device.read(y)).every((value) => value !== 2));
    assert.is((await count(device, 3))[0], 6);
  });
}

threads("a worker killed while it waits: the next result is a typed error that says what to do", async () => {
  const { host, workers } = killable();
  const device = await open(2, host);
  await workers[1].terminate();
  await rejects(count(device, 1), "ERR_DEVICE", /a worker died: got exit code \d+\n.*make a new one/);
  await device.dispose();
});

threads("a worker killed while it computes: a typed error, and the others do not wait for it", async () => {
  const { host, workers } = killable();
  const device = await open(3, host);
  const size = 1024;
  const x = device.allocate("f32", [size, size], "x"), y = device.allocate("f32", [size, size], "y");
  device.run(fill, { y: x }, { n: size * size, value: 0 });
  for (let i = 0; i < 200; i++) device.run(matmulNt, { x, w: x, y }, { m: size, n: size, k: size, accumulate: 0 });
  const work = device.finish();
  setTimeout(() => void workers[0].terminate(), 50);
  await rejects(work, "ERR_DEVICE", /a worker died/);
  await rejects(device.read(y), "ERR_DEVICE", /a worker died/);
  await device.dispose();
});

threads("a worker that does not start takes the others with it", async () => {
  const { host } = killable();
  let begun = 0, ended = 0;
  const broken: WorkerHost = {
    async spawn() {
      if (++begun === 3) throw new Error("no more processes");
      const worker = await host.spawn();
      return { ...worker, terminate: async () => { ended++; await worker.terminate(); } };
    },
  };
  await rejects(open(3, broken), "ERR_DEVICE", /a worker did not start: expected 3 workers, got no more processes/);
  assert.is(ended, 2);
});

for (const wrong of [0, -1, 1.5, NaN, 1000]) {
  threads(`${wrong} threads are refused`, () => rejects(open(wrong), "ERR_SHAPE", /threads: .*expected a whole number from 1 to 256/));
}

threads("a disposed device says so", async () => {
  const device = await open(2);
  await device.dispose();
  await device.dispose();
  await rejects(count(device, 1), "ERR_DEVICE", /the device is disposed/);
});

const DIST = pathToFileURL("dist/node.js").href;

/** A process of its own; `null` as its status means that it had to be killed. */
function script(body: string, ...flags: string[]): { status: number | null; out: string } {
  const text = `import { createDevice } from ${JSON.stringify(DIST)};\n${body}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, [...flags, "--input-type=module", "-e", text], { encoding: "utf8", timeout: 30_000 });
  return { status, out: `${stdout}${stderr}` };
}

threads("a process ends after dispose, and also when the device is forgotten", () => {
  for (const end of ["await device.dispose();", ""]) {
    const { status, out } = script(`const device = await createDevice({ kind: "wasm", threads: 2 }); await device.finish(); ${end} console.log(device.description);`);
    assert.is(status, 0, out);
    assert.match(out, /^wasm \(.*2 threads\)\n$/);
  }
});

threads("without SharedArrayBuffer more than one thread is a typed error, and one works", () => {
  const { status, out } = script(`
    await createDevice({ kind: "wasm", threads: 2 }).catch((error) => console.log(error.code, error.message));
    console.log((await createDevice({ kind: "wasm", threads: 1 })).description);`, "--no-harmony-sharedarraybuffer");
  assert.is(status, 0, out);
  assert.match(out, /ERR_DEVICE threads: no shared memory here: expected SharedArrayBuffer, got none[^]*1 thread\)/);
});

const reads = (at: number): Range => ({ begin: at, end: at + 10, writes: false });
const writes = (at: number): Range => ({ begin: at, end: at + 10, writes: true });
const op = (kernel: string, tiles: number, ...ranges: Range[]): PlacedOp => ({ kernel, args: [], tiles, ranges });
const plan = (...ops: PlacedOp[]): string => planSteps(ops).map((step) => step.ops.map(({ kernel }) => kernel).join("+")).join(" ");

threads("ops share a step when neither touches what the other writes", () => {
  const a = op("a", 4, reads(0), writes(100));
  assert.is(plan(a, op("b", 4, reads(0), writes(200)), op("c", 1, reads(5), writes(300))), "a+b+c");
  assert.is(plan(a, op("reads it", 4, reads(109), writes(200))), "a reads it");
  assert.is(plan(a, op("writes what a reads", 4, writes(5))), "a writes what a reads");
  assert.is(plan(a, op("writes it too", 4, writes(95))), "a writes it too");
  assert.is(plan(a, op("next to it", 4, writes(110))), "a+next to it");
  assert.is(plan(op("one", 1, writes(0)), op("tile", 1, writes(100)), op("none", 0), op("many", 9, writes(200))), "one tile+many");
});

threads.run();
