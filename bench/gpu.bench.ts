// Matrix products on a GPU, one after the other in turns, beside @tensorflow/tfjs-backend-webgpu on the same adapter where
// bench/peers has it installed (`npm install --prefix bench/peers`). Processor time on a software adapter; else our own work by the
// GPU's timestamps where it has them, and the peer's, which reaches no timestamps from here, by the clock on the wall.
// `npm run bench -- gpu [--rounds=N] [--only=TEXT]`
import { createRequire } from "node:module";
import { bytesOf, viewOf, type DType } from "../src/dtype.ts";
import { defineOp, TILINGS, type Op, type Params, type Tiling } from "../src/op.ts";
import { GRID, WEIGHTS_4BIT } from "../src/ops/gpu-lib.ts";
import { dequantize4bit, matmulNf4Nn, matmulNf4Nt, matmulNn, matmulNt, quantize4bit } from "../src/ops/index.ts";
import { elementsOf, type Tensor } from "../src/tensor.ts";
import { dawnGpu } from "../src/webgpu/dawn.ts";
import { WebGpuDevice } from "../src/webgpu/device.ts";

interface Case { readonly name: string; readonly flops: number; readonly bytes: number; readonly run: () => Promise<unknown>; readonly queue?: () => void }

const option = (name: string): string | undefined => process.argv.find((a) => a.startsWith(`--${name}=`))?.split("=")[1];

/** dX as most write it first: an invocation an element, which decodes a column of W for itself. */
const NAIVE_NN = defineOp({
  ...matmulNf4Nn, name: "matmul-nf4-nn, one invocation an output",
  gpu: {
    code: `${/[^]*read_write.*\n/.exec(matmulNf4Nn.gpu!.code)![0].replace("vec4f", "f32").replace("Out", "f32")}
      const ALIGNED = false;
      @compute @workgroup_size(64)
      fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
        let i = workgroup_of(id, count) * 64u + lane;
        if (i >= params.m * params.k) { return; }
        var sum = 0.0;
        for (var d = 0u; d < params.n; d++) { sum = fma(dy[i / params.k * params.n + d], weight_at(d * params.k + i % params.k), sum); }
        dx[i] = sum;
      }`,
    passes: [{ entry: "main", lib: [GRID, WEIGHTS_4BIT], workgroups: ({ m, k }) => Math.ceil((m * k) / 64) }],
  },
});

const gpu = await dawnGpu();
const device = await WebGpuDevice.create({ gpu });
const { software } = device.adapter;

function operandsOf(op: Op, params: Params): Record<string, Tensor> {
  return Object.fromEntries(op.operands.map(({ name, dtype: allowed, shape }) => {
    const dtype: DType = typeof allowed === "string" ? allowed : name === "absmax" && params["nested"] ? "u8" : allowed[0];
    const tensor = device.allocate(dtype, shape(params), name);
    const values = viewOf(dtype, new ArrayBuffer(elementsOf(tensor.shape) * bytesOf(dtype)));
    let state = 12345;
    for (let i = 0; i < values.length; i++) {
      state = Math.imul(state, 1664525) + 1013904223;
      values[i] = dtype === "f32" ? (state >>> 8) / 16777216 - 0.5 : state >>> 24;
    }
    device.write(tensor, values);
    return [name, tensor];
  }));
}

function caseOf(note: string, calls: [op: unknown, params: Params][], tiling: Tiling): Case {
  const ready = calls.map(([op, params]) => ({ op: op as Op, params, operands: operandsOf(op as Op, params) }));
  const [{ op, params }] = ready.slice(-1);
  const queue = (): void => {
    device.tiling = tiling;
    for (const call of ready) device.run(call.op, call.operands, call.params);
  };
  const run = (): Promise<void> => {
    queue();
    return device.finish();
  };
  return { name: `${ready.map((call) => call.op.name).join(" + ")} ${note}, ${tiling}`, ...op.cost(params), run, queue };
}

/** The peer's products, or none when it is not installed. */
async function tensorflow(): Promise<(m: number, n: number, k: number, transposed: boolean) => Case> {
  const require = createRequire(`${process.cwd()}/bench/peers/package.json`);
  const { globals } = await import("webgpu");
  Object.assign(globalThis, globals, { self: globalThis });
  Object.defineProperty(globalThis, "navigator", { value: { gpu }, configurable: true });
  const tf = require("@tensorflow/tfjs-core");
  require("@tensorflow/tfjs-backend-webgpu");
  await tf.setBackend("webgpu");
  await tf.ready();
  return (m, n, k, transposed) => {
    const x = tf.randomUniform([m, k]), w = tf.randomUniform(transposed ? [n, k] : [k, n]);
    const run = async (): Promise<void> => {
      const y = tf.matMul(x, w, false, transposed);
      tf.backend().endComputePassEncoder();
      tf.backend().submitQueue();
      await tf.backend().device.queue.onSubmittedWorkDone();
      y.dispose();
    };
    return { name: `tfjs matMul ${transposed ? "nt" : "nn"} ${m}×${n}×${k}`, flops: 2 * m * n * k, bytes: 4 * (m * n + m * k + n * k), run };
  };
}

async function once({ run, queue }: Case): Promise<number> {
  const measured = queue && !software ? await device.time(queue) : undefined;
  if (measured) return measured;
  const begin = process.cpuUsage(), wall = performance.now();
  await run();
  const { user, system } = process.cpuUsage(begin);
  return software ? (user + system) / 1e6 : (performance.now() - wall) / 1e3;
}

const FILTER = option("only");

async function compare(cases: Case[]): Promise<void> {
  const chosen = cases.filter(({ name }) => !FILTER || name.includes(FILTER));
  const times = chosen.map((): number[] => []);
  for (const item of chosen) for (let i = 0; i < 2; i++) await once(item);
  for (let round = 0; round < Number(option("rounds") ?? 7); round++) for (const [i, item] of chosen.entries()) times[i].push(await once(item));
  chosen.forEach(({ name, flops, bytes }, i) => {
    const sorted = times[i].toSorted((a, b) => a - b);
    const at = (part: number): number => sorted[Math.floor(part * sorted.length)];
    const median = at(0.5);
    console.log(`${name.padEnd(72)} ${(median * 1e3).toFixed(2).padStart(9)} ms ±${(((at(0.75) - at(0.25)) / 2 / median) * 100).toFixed(0).padStart(3)} % ${(flops / median / 1e9).toFixed(2).padStart(8)} GFLOP/s ${(bytes / median / 1e9).toFixed(2).padStart(8)} GB/s`);
  });
}

console.log(`${device.adapter.name}${software ? ", a software adapter: seconds of processor time" : ": seconds by its own clock where it has one, the peer's on the wall"}`);
const peer = await tensorflow().catch((error: Error) => void console.log(`no tfjs: ${error.message.split("\n")[0]}`));
for (const [m, n, k] of [[512, 1536, 576], [1024, 1024, 1024]]) {
  const note = `${m}×${n}×${k}`;
  await compare([
    ...TILINGS.flatMap((tiling) => [caseOf(note, [[matmulNt, { m, n, k, accumulate: 0 }]], tiling), caseOf(note, [[matmulNn, { m, n, k, xStride: k, accumulate: 0 }]], tiling)]),
    ...(peer ? [peer(m, n, k, true), peer(m, n, k, false)] : []),
  ]);
}
const tiling = (option("tiling") ?? "registers") as Tiling;
const weights = { n: 1536, k: 576, dyStride: 1536, blocksize: 64, nested: 1, nestedOffset: 0.05, round: 0 };
const { n, k } = weights;
const dequantize: [unknown, Params] = [dequantize4bit, { ...weights, n: n * k }];
await compare([512].flatMap((m) => [
  caseOf(`${m} rows`, [[matmulNt, { m, n, k, accumulate: 0 }]], tiling), caseOf(`${m} rows`, [[matmulNf4Nt, { m, ...weights, accumulate: 0 }]], tiling),
  caseOf(`${m} rows`, [[matmulNn, { m, n: k, k: n, xStride: n, accumulate: 0 }]], tiling), caseOf(`${m} rows`, [[matmulNf4Nn, { m, ...weights, accumulate: 0 }]], tiling),
  caseOf(`${m} rows`, [[NAIVE_NN, { m, ...weights, accumulate: 0 }]], tiling),
]));
await compare([1, 4, 8, 32].flatMap((m) => [
  caseOf(`${m} rows`, [[matmulNf4Nt, { m, ...weights, accumulate: 0 }]], tiling), caseOf(`${m} rows`, [dequantize, [matmulNt, { m, n, k, accumulate: 0 }]], tiling),
  caseOf(`${m} rows`, [[matmulNf4Nn, { m, ...weights, accumulate: 0 }]], tiling), caseOf(`${m} rows`, [dequantize, [matmulNn, { m, n: k, k: n, xStride: n, accumulate: 0 }]], tiling),
]));
await compare([caseOf("nested", [dequantize], tiling), caseOf("f32", [[quantize4bit, { n: n * k, blocksize: 64, inputType: 0 }]], tiling)]);
await device.dispose();
process.exit();
