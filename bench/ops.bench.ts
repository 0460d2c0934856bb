// Every op that training and generation spend time in, on the shapes of SmolLM2-135M, one thread.
// `npm run bench -- ops [--build=simd|relaxed] [--only=TEXT] [--rounds=N]`
import { kernels } from "#kernels";
import { bytesOf, viewOf, type DType, type TypedArray } from "../src/dtype.ts";
import type { Op } from "../src/op.ts";
import { elementsOf, type Tensor } from "../src/tensor.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { pickBuild, type WasmBuild } from "../src/wasm/kernels.ts";
import { interleave, peakCase, type Case } from "./harness.ts";
import { SHAPES, TOKENS, type Shape } from "./shapes.ts";

const option = (name: string): string | undefined => process.argv.find((a) => a.startsWith(`--${name}=`))?.split("=")[1];

/** Values without denormals or infinities: uniform in [0.25, 1), both signs for odd operands. */
function sample(dtype: DType, n: number, name: string): TypedArray {
  const values = viewOf(dtype, new ArrayBuffer(n * bytesOf(dtype)));
  let state = 12345;
  for (let i = 0; i < n; i++) {
    state = Math.imul(state, 1664525) + 1013904223;
    const u = (state >>> 8) / 16777216;
    if (dtype === "f32") values[i] = name === "expAvgSq" || name === "rstd" ? 0.25 + u : (u - 0.5) * 2;
    else if (dtype === "i32") values[i] = Math.floor(u * 64);
    else values[i] = state >>> 24;
  }
  return values;
}

function caseOf(device: WasmDevice, { op, params, note }: Shape): { item: Case; tensors: Tensor[] } {
  const tensors: Record<string, Tensor> = {};
  const resets: (() => void)[] = [];
  for (const { name, dtype: allowed, shape, access } of (op as Op).operands) {
    const dtype: DType = typeof allowed === "string" ? allowed : name === "absmax" && params["nested"] ? "u8" : allowed[0];
    const dims = shape(params);
    const tensor = device.allocate(dtype, dims, name);
    const values = sample(dtype, elementsOf(dims), name);
    device.write(tensor, values);
    if (access === "inout") resets.push(() => device.write(tensor, values));
    tensors[name] = tensor;
  }
  const run = (): void => { device.run(op as Op, tensors, params); device.finishSync(); };
  return { item: { name: `${op.name} ${note}`, run, reset: () => resets.forEach((f) => f()) }, tensors: Object.values(tensors) };
}

const GROUP = 6; // cases timed in turns at once; all of them would not fit in memory

function bench(build: WasmBuild, rounds: number, only: string | undefined): void {
  const step = new Map<string, number>();
  const shapes = SHAPES.filter(({ op, note }) => !only || only.split(",").some((o) => `${op.name} ${note}`.includes(o)));
  for (let begin = 0; begin < shapes.length; begin += GROUP) {
    const device = WasmDevice.createSync({ wasm: kernels, build });
    const part = shapes.slice(begin, begin + GROUP);
    const peak = peakCase(build);
    const timings = interleave([peak.item, ...part.map((shape) => caseOf(device, shape).item)], rounds);
    const limit = peak.flops / timings[0].median;
    part.forEach(({ op, params, note, calls }, i) => {
      const { median, spread } = timings[i + 1];
      step.set(op.name, (step.get(op.name) ?? 0) + calls * median);
      const { flops, bytes } = (op as Op).cost(params);
      console.log([
        build.padEnd(8), op.name.padEnd(20), note.padEnd(26), `${(median * 1e3).toFixed(3)} ms`.padStart(12), `±${(spread * 100).toFixed(0)} %`.padStart(7),
        `${(flops / median / 1e9).toFixed(2)} GFLOP/s`.padStart(16), `${((flops / median / limit) * 100).toFixed(1)} % of ${(limit / 1e9).toFixed(1)}`.padStart(16),
        `${(bytes / median / 1e9).toFixed(2)} GB/s`.padStart(12), `${((median * 1e3) / op.tiles(params)).toFixed(3)} ms/tile`.padStart(15),
      ].join(" "));
    });
  }
  if (![...step.values()].some((t) => t > 0)) return;
  const total = [...step.values()].reduce((sum, t) => sum + t, 0);
  const parts = [...step].filter(([, t]) => t > 0).map(([name, t]) => `${name} ${((100 * t) / total).toFixed(1)} %`);
  console.log(`${build}: the ops of a step of ${TOKENS} tokens take ${total.toFixed(2)} s, ${(TOKENS / total).toFixed(1)} tokens/s: ${parts.join(", ")}`);
}

const builds: WasmBuild[] = option("build") ? [option("build") as WasmBuild] : pickBuild() === "relaxed" ? ["simd", "relaxed"] : ["simd"];
for (const build of builds) bench(build, Number(option("rounds") ?? 15), option("only"));
