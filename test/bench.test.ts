import { kernels } from "#kernels";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { bench } from "../src/commands/bench/bench.ts";
import { limitOf, percentOfLimit } from "../src/commands/bench/limits.ts";
import { Meter } from "../src/commands/bench/meter.ts";
import { compareRows, readReport, type BenchRow } from "../src/commands/bench/report.ts";
import { PRODUCTS, STEP, TOKEN } from "../src/commands/bench/shapes.ts";
import { benchPaging } from "../src/commands/bench/paging.ts";
import { pagedRow } from "../src/commands/bench/paging-row.ts";
import { refuseDifference } from "../src/commands/bench/paging-run.ts";
import { percentile, ratioOf, spreadOf } from "../src/commands/bench/statistics.ts";
import { parseSize } from "../src/commands/bench/suites.ts";
import { interleave } from "../src/commands/bench/timing.ts";
import type { Device } from "../src/device.ts";
import { openSource } from "../src/io/node.ts";
import { checkOp } from "../src/op.ts";
import { copy, fill } from "../src/ops/index.ts";
import type { StepResult } from "../src/optim/training-step.ts";
import type { PagingStats } from "../src/pager/pager.ts";
import type { Tensor } from "../src/tensor.ts";
import { WasmDevice } from "../src/wasm/device.ts";

const arithmetic = suite("bench: arithmetic");

arithmetic("percentiles are NumPy's", () => {
  const sorted = [1, 2, 4, 8, 16, 32];
  assert.is(percentile(sorted, 0.5), 6);
  assert.is(percentile(sorted, 0.1), 1.5);
  assert.is(percentile(sorted, 0.9), 24);
  assert.is(percentile([7], 0.9), 7);
  assert.equal(spreadOf([5, 1, 3]), { median: 3, p10: 1.4, p90: 4.6, rounds: 3 });
});

arithmetic("a difference counts when four fifths lie apart", () => {
  const at = (p10: number, median: number, p90: number) => ({ p10, median, p90 });
  assert.is(ratioOf(at(9, 10, 11), at(4, 5, 6)).verdict, "faster");
  assert.is(ratioOf(at(9, 10, 11), at(4, 5, 6)).speedup, 2);
  assert.is(ratioOf(at(9, 10, 11), at(12, 13, 14)).verdict, "slower");
  assert.is(ratioOf(at(9, 10, 11), at(10, 11, 12)).verdict, "within noise");
  assert.is(ratioOf(at(9, 10, 11), at(8, 8.5, 9.5)).verdict, "within noise");
});

arithmetic("percent of a limit: the limit's time for the same work over the case's", () => {
  const work = { flops: 96 * 32 * 20_000 * 4, bytes: 800, elements: 50 };
  const peak = limitOf("multiply-add", "wasm", work);
  assert.is(peak.runs, 4);
  assert.is(percentOfLimit(10, 2, peak), 80);
  assert.equal(limitOf("copy", "wasm", work).params, { n: 100 });
  const much = limitOf("copy", "wasm", { ...work, bytes: 2 ** 30 });
  assert.equal([much.params, much.runs], [{ n: 2 ** 24 }, 8]);
  assert.equal(limitOf("fill", "wasm", work).params, { n: 50, value: 1 });
  assert.is(percentOfLimit(8, 2, limitOf("copy", "wasm", work)), 25);
});

arithmetic("items take turns, and short ones are repeated", async () => {
  const order: string[] = [];
  let now = 0;
  const item = (name: string, ms: number) => ({ run: async (times: number) => { order.push(`${name}${times}`); now += ms * times; } });
  const spreads = await interleave([item("a", 4), item("b", 50)], { clock: () => now, seconds: 0 });
  assert.equal(order, ["a1", "b1", ..."a3 b1 ".repeat(5).trim().split(" ")]);
  assert.equal(spreads.map(({ median, rounds }) => [median, rounds]), [[4, 5], [50, 5]]);
});

arithmetic("sizes", () => {
  assert.equal(parseSize("matmul", "512x1536×576"), [512, 1536, 576]);
  assert.equal(parseSize("quantize", "4096"), [4096]);
  for (const wrong of ["0", "1x2x3", "-1", "1.5", "", "1e3", "x"]) assert.throws(() => parseSize("quantize", wrong), /bench quantize: size: expected ELEMENTS/, wrong);
});

arithmetic("every shape of the table is a call that its op accepts", () => {
  for (const { op, params, note } of [...PRODUCTS.flat(), ...STEP, ...TOKEN]) {
    const operands = op.operands.map(({ name, dtype, shape }) => {
      const kind = typeof dtype === "string" ? dtype : name === "absmax" && params["nested"] ? "u8" : dtype[0];
      return [name, { dtype: kind, shape: shape(params), buffer: { bytes: 0 }, byteOffset: 0, label: note } satisfies Tensor];
    });
    checkOp(op, Object.fromEntries(operands), params);
    assert.ok(op.cost(params).bytes > 0 && op.tiles(params) > 0, `${op.name} ${note}`);
  }
});
arithmetic.run();

const reports = suite("bench: reports");
const row: BenchRow = { op: "copy", device: "wasm", build: "simd", threads: 1, shape: "64", medianMs: 2, p10Ms: 1.9, p90Ms: 2.1, rounds: 5 };
const stored = { op: "copy", device: "wasm", build: "simd", threads: 1, shape: "64", median_ms: 4, p10_ms: 3.9, p90_ms: 4.1 };
const file = (cases: unknown): string => JSON.stringify({ machine: {}, cases });

reports("lines are matched by all that names them", () => {
  const before = readReport(file([stored, { ...stored, threads: 2 }, { ...stored, shape: "128", missing: "no kernel", median_ms: null }]), "old.json");
  assert.is(before.rows.length, 2);
  const [compared, ...rest] = compareRows(before.rows, [row, { ...row, build: "relaxed" }, { ...row, shape: "128" }]);
  assert.is(rest.length, 0);
  assert.is(compared.ratio.speedup, 2);
  assert.is(compared.ratio.verdict, "faster");
});

reports("a file that is no report is refused", () => {
  for (const [text, message] of [["[", /old.json: content/], ["{}", /old.json: machine: expected an object/], [JSON.stringify({ machine: {} }), /old.json: cases: expected a list/], [file([{ ...stored, p10_ms: 0 }]), /cases\[0\]: p10_ms: expected a number above 0/], [file([7]), /cases\[0\]: op: expected a text/]] as const) {
    assert.throws(() => readReport(text, "old.json"), message);
  }
});
reports.run();

const runs = suite("bench: runs");

runs("a meter counts costs, gives everything back, and keeps to its budget", async () => {
  await using device = await WasmDevice.create({ wasm: kernels });
  const { live } = device.memory;
  const meter = new Meter(device, { total: 1000, used: 0 });
  const x = meter.allocate("f32", [100], "x");
  const y = meter.allocate("f32", [100], "y");
  assert.throws(() => meter.allocate("f32", [100], "z"), (error: Error) => error.name === "MemoryError" && /no room for z/.test(error.message));
  meter.free(y);
  meter.run(fill, { y: x }, { n: 100, value: 1 });
  meter.run(copy, { x, y: meter.allocate("f32", [100], "z") }, { n: 100 });
  assert.is(meter.bytes, 1200);
  await meter.dispose();
  assert.is(device.memory.live, live);
});

runs("an op without a kernel here is named in the report", async () => {
  await using wasm = await WasmDevice.create({ wasm: kernels });
  const gpuOnly = { ...fill, devices: ["webgpu"] as const };
  const meter = new Meter(wasm, { total: 1000, used: 0 });
  assert.throws(() => meter.run(gpuOnly, { y: meter.allocate("f32", [4], "y") }, { n: 4, value: 1 }), /fill has no wasm kernel/);
  assert.is(meter.missing, "fill has no wasm kernel");
});

async function rejects(call: Promise<unknown>, message: RegExp): Promise<void> {
  await call.then(() => assert.unreachable(), (error: Error) => assert.match(error.message, message));
}

const MODEL = await openSource("src/demo");

runs("every suite, at tiny sizes", async () => {
  await using device = await WasmDevice.create({ wasm: kernels });
  const devices = [{ device: device as Device, threads: 1 }];
  const base = { devices, model: MODEL, memory: 2 ** 30, seconds: 0.01 };
  const sizes = { quantize: ["4096"], dequantize: ["100x10"], matmul: ["8x64x32"], train: ["1x8"], generate: ["2"] } as const;
  for (const [what, size] of Object.entries(sizes) as [keyof typeof sizes, readonly string[]][]) {
    const { limits, cases } = await bench({ ...base, what, sizes: size });
    assert.equal(limits.map(({ op, shape }) => `${op} ${shape}`), ["multiply-add registers", "copy in cache", "fill in cache", "copy in memory", "fill in memory"]);
    assert.ok(cases.length > 0, what);
    for (const { op, medianMs, p10Ms, p90Ms, percentOfLimit, limit } of cases) {
      assert.ok(medianMs! > 0 && p10Ms! <= medianMs! && medianMs! <= p90Ms!, op);
      assert.ok(percentOfLimit! > 0 && Number.isFinite(percentOfLimit!), `${op}: ${percentOfLimit} % of ${limit}`);
    }
  }
});

runs("paging: every budget has the unpaged run's losses, the loads of its frames, and ratios of its own times", async () => {
  const rows = await benchPaging({ model: MODEL, sizes: ["2x1x8", "14x1x8"], open: (limit) => WasmDevice.create({ wasm: kernels, hostMemory: limit }), cpuSeconds: () => performance.now() / 1000, seconds: 0 });
  assert.equal(rows.map(({ op, shape, frames, loads, bytesDown }) => [op, shape, frames, loads, bytesDown]), [["train", "demo 1x8", 0, undefined, undefined], ["train-paged", "demo 2x1x8", 2, 2 * (14 - 2), 0], ["train-paged", "demo 14x1x8", 14, 0, 0]]);
  const [, two, all] = rows;
  const [layer, slice] = [205_056, 2048 * 192 * 4 / 8]; // bytes of a page
  const base = 6 * layer + 8 * slice;
  assert.ok(two.bytesUp! >= 2 * (base - 2 * layer) && two.bytesUp! <= 2 * (base - 2 * slice), `${two.bytesUp} bytes`);
  assert.equal([all.bytesUp, all.deviceBytes - two.deviceBytes], [0, 12 * layer]);
  assert.ok(two.uploadGbPerS! > 0 && two.boundMs! > 0 && two.overlap! >= 0 && two.overlap! <= 1 && two.cpuSeconds > 0);
  assert.equal([all.uploadGbPerS, all.overlap], [undefined, undefined]);
  for (const size of ["1x1x8", "8", "1x2x3x4"]) await rejects(benchPaging({ model: MODEL, sizes: [size], open: () => Promise.reject(new Error("opened")) }), /bench paging: size: expected BATCHxLENGTH/);
  await rejects(benchPaging({ model: MODEL, sizes: ["2x1x8", "2x1x16"], open: () => Promise.reject(new Error("opened")) }), /of one batch and length/);
});

runs("paging: ratios are those of one round", () => {
  const stats = (bytesUp: number, loads: number): PagingStats => ({ bytesUp, loads, bytesDown: 0, bytesRead: 0, stalls: 0, stallSeconds: 0 }) as unknown as PagingStats;
  const round = (speed: number) => ({ alone: { ms: 80 * speed, cpu: 1 }, compute: { ms: 100 * speed, cpu: 1 }, step: { ms: 112 * speed, cpu: 2 }, copies: { ms: 40 * speed, cpu: 0, bytes: 4e6 }, before: stats(0, 0), after: stats(2e6, 5) });
  const facts = { device: "wasm", build: "simd", threads: 1, shape: "", pages: 9, frames: 3, deviceBytes: 7, tokens: 8 };
  const row = pagedRow(facts, [round(1), round(10), round(2)]); // a machine that slowed down and recovered
  assert.equal([row.slowdown, row.overBound, row.boundMs, row.overlap, row.medianMs], [1.4, 112 / 120, 240, 0.4, 224]);
  assert.equal([row.loads, row.bytesUp, row.uploadGbPerS], [5, 2e6, 0.05]);
});

runs("paging: a loss that is not the unpaged run's is a KernelError", () => {
  const step = (loss: number, gradNorm: number): StepResult => ({ loss, gradNorm, targets: 1, tokens: 1 });
  refuseDifference([step(1, 2)], [step(1, 2), step(3, 4)]);
  assert.throws(() => refuseDifference([step(1, 2), step(3, 4.5)], [step(1, 2), step(3, 4)]), /step 2: expected 3, 4, as without paging, got 3, 4.5/);
});

runs("what does not fit is a MemoryError", async () => {
  await using device = await WasmDevice.create({ wasm: kernels });
  const call = bench({ what: "quantize", sizes: ["1000000000000"], devices: [{ device, threads: 1 }], model: MODEL, memory: 2 ** 30, seconds: 0 });
  await call.then(() => assert.unreachable(), (error: Error) => assert.ok(error.name === "MemoryError", error.message));
});
runs.run();

const cli = suite("bench: command line");

cli("a report on stdout, kept in a file, compared with itself", () => {
  const folder = mkdtempSync(join(tmpdir(), "nibblelm-bench-"));
  const kept = join(folder, "report.json");
  const run = (...args: string[]): string => execFileSync(process.execPath, ["dist/cli.js", "bench", "dequantize", "--size", "4096", ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  assert.match(run("--json", kept), /dequantize-nf4-dq +4096 +1 /);
  const { machine, limits, cases } = JSON.parse(readFileSync(kept, "utf8"));
  assert.ok(machine.version && machine.runtime && machine.cpu.model);
  assert.ok(limits.length >= 5);
  assert.is(cases[0].op, "dequantize-nf4");
  for (const name of ["median_ms", "p10_ms", "p90_ms", "gelem_per_s", "gb_per_s", "percent_of_limit"]) assert.type(cases[0][name], "number", name);
  const lines = run("--compare", kept, "--json").trim().split("\n").map((line) => JSON.parse(line));
  assert.equal(lines.map(({ event }) => event), ["case", "case", "result"]);
  assert.is(lines[2].comparison.length, 2);
  rmSync(folder, { recursive: true });
});

cli("plots: a dot for every budget, and for every load of every mode", () => {
  const folder = mkdtempSync(join(tmpdir(), "nibblelm-plots-"));
  const machine = { cpu: { model: "CPU", cores: 2 } };
  const budget = (frames: number, ms: number) => ({ op: "train-paged", shape: `demo ${frames}x1x8`, frames, device_bytes: 1e6 * frames, median_ms: ms, p10_ms: ms - 1, p90_ms: ms + 1, tokens_per_second: 8000 / ms, bound_ms: ms - 2 });
  const whole = { op: "train", device: "wasm", build: "simd", threads: 1, shape: "demo 1x8", pages: 4, median_ms: 9, tokens_per_second: 8000 / 9 };
  const load = (mode: string, loops: number) => ({ op: "neighbours", mode, threads: 2, loops, slowdown: 1 + loops, fair_share: 1 + loops / 2, tokens_per_second: 100 / (1 + loops) });
  writeFileSync(join(folder, "a.json"), JSON.stringify({ machine, cases: [whole, budget(2, 14), budget(3, 12), budget(4, 10)] }));
  writeFileSync(join(folder, "b.json"), JSON.stringify({ machine, cases: [load("fair", 0), load("fair", 2), load("polite", 0), load("polite", 2)] }));
  execFileSync(process.execPath, ["bench/plots.mjs", join(folder, "a.json"), join(folder, "b.json")], { stdio: "ignore" });
  for (const [name, dots] of [["a", 3], ["b-slowdown", 4], ["b-throughput", 4]] as const) {
    const svg = readFileSync(join(folder, `${name}.svg`), "utf8");
    assert.match(svg, /^<svg[^>]*xmlns=/);
    assert.is(svg.match(/<circle/g)!.length, dots, name);
    assert.not.match(svg, /NaN|undefined/);
  }
  rmSync(folder, { recursive: true });
});

cli("wrong calls", () => {
  const folder = mkdtempSync(join(tmpdir(), "nibblelm-bench-"));
  writeFileSync(join(folder, "empty.json"), "{}");
  const calls: [string[], number, RegExp][] = [
    [["quantize", "--threads", "0"], 2, /--threads: expected a whole number/],
    [["quantize", "--threads", "1000"], 2, /expected a whole number from 1 to 256, got 1000/],
    [["all", "--size", "64"], 2, /bench all: --size/],
    [["paging", "--threads", "1,2"], 2, /bench paging: --?threads: expected one number, got 1,2/],
    [["neighbours", "--size", "1x2"], 2, /bench neighbours: --?size: expected none/],
    [["quantise"], 2, /did you mean nibblelm bench quantize/],
    [["matmul", "--compare", join(folder, "empty.json")], 1, /machine: expected an object/],
    [["matmul", "--json", join(folder, "none", "report.json")], 2, /no such file or folder/],
  ];
  for (const [args, code, message] of calls) {
    const { status, stderr } = spawnSync(process.execPath, ["dist/cli.js", "bench", ...args], { encoding: "utf8" });
    assert.is(status, code, args.join(" "));
    assert.match(stderr, message);
  }
  rmSync(folder, { recursive: true });
});
cli.run();
