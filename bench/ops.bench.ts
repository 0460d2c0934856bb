// Every op that training and generation spend time in, on the shapes of SmolLM2-135M, one thread, by processor time:
// for work on a kernel while the machine does other things. `nibblelm bench` measures what users get.
// `npm run bench -- [--build=simd|relaxed] [--only=TEXT,TEXT|bytes] [--seconds=S]`
import { kernels } from "#kernels";
import { dequantizeCases, quantizeCases } from "../src/commands/bench/quantize-cases.ts";
import { limitOf } from "../src/commands/bench/limits.ts";
import { timedOp } from "../src/commands/bench/op-case.ts";
import { PRODUCTS, STEP, TOKEN, TOKENS, type Shape } from "../src/commands/bench/shapes.ts";
import { interleave } from "../src/commands/bench/timing.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { pickBuild, type WasmBuild } from "../src/wasm/kernels.ts";

const option = (name: string): string | undefined => process.argv.find((a) => a.startsWith(`--${name}=`))?.split("=")[1];

/** Other processes may share this machine. */
function clock(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e3;
}

const GROUP = 6; // cases timed in turns at once; all of them would not fit in memory

function groupsOf(shapes: readonly Shape[]): readonly (readonly Shape[])[] {
  const only = option("only")?.split(",");
  const chosen = shapes.filter(({ op, note }) => !only || only.some((text) => `${op.name} ${note}`.includes(text)));
  return Array.from({ length: Math.ceil(chosen.length / GROUP) }, (_, i) => chosen.slice(i * GROUP, (i + 1) * GROUP));
}

async function bench(build: WasmBuild): Promise<void> {
  const step = new Map<string, number>();
  for (const part of groupsOf([...PRODUCTS.flat(), ...STEP, ...TOKEN])) {
    const device = await WasmDevice.create({ wasm: kernels, build });
    const { op, params: rounds } = limitOf("multiply-add", "wasm", { flops: 0, bytes: 0, elements: 0 });
    const items = [];
    for (const shape of [{ op, params: rounds }, ...part]) items.push(await timedOp(device, shape.op, shape.params));
    const [peak, ...times] = await interleave(items, { clock, seconds: Number(option("seconds") ?? 0.5) });
    const limit = op.cost(rounds).flops / peak.median;
    part.forEach(({ op, params, note, calls }, i) => {
      const { median, p10, p90 } = times[i];
      step.set(op.name, (step.get(op.name) ?? 0) + (calls * median) / 1000);
      const { flops, bytes } = op.cost(params);
      console.log([
        build.padEnd(8), op.name.padEnd(20), note.padEnd(20), `${median.toFixed(3)} ms`.padStart(12), `±${((50 * (p90 - p10)) / median).toFixed(0)} %`.padStart(7),
        `${(flops / median / 1e6).toFixed(2)} GFLOP/s`.padStart(16), `${((100 * flops) / median / limit).toFixed(1)} % of ${(limit / 1e6).toFixed(1)}`.padStart(16),
        `${(bytes / median / 1e6).toFixed(2)} GB/s`.padStart(12), `${(median / op.tiles(params)).toFixed(3)} ms/tile`.padStart(15),
      ].join(" "));
    });
  }
  const total = [...step.values()].reduce((sum, t) => sum + t, 0);
  if (!total) return;
  const parts = [...step].filter(([, t]) => t > 0).map(([name, t]) => `${name} ${((100 * t) / total).toFixed(1)} %`);
  console.log(`${build}: the ops of a step of ${TOKENS} tokens take ${total.toFixed(2)} s, ${(TOKENS / total).toFixed(1)} tokens/s: ${parts.join(", ")}`);
}

/** Quantizing and dequantizing, beside a copy of as many bytes or a fill of as many values. */
async function benchBytes(build: WasmBuild): Promise<void> {
  const device = await WasmDevice.create({ wasm: kernels, build });
  for (const item of [...quantizeCases([4096, 4096]), ...dequantizeCases([4096, 4096])]) {
    const work = { flops: 0, elements: item.elements!, bytes: 4.5 * item.elements! };
    const { op, params } = limitOf(item.limit!, "wasm", work);
    const [limit, { median, p10, p90 }] = await interleave([await timedOp(device, op, params), await item.prepare(device)], { clock, seconds: Number(option("seconds") ?? 0.5) });
    console.log([
      build.padEnd(8), item.op.padEnd(20), item.shape.padEnd(20), `${median.toFixed(3)} ms`.padStart(12), `±${((50 * (p90 - p10)) / median).toFixed(0)} %`.padStart(7),
      `${(work.elements / median / 1e6).toFixed(2)} G elements/s`.padStart(18), `${((100 * limit.median) / median).toFixed(1)} % of ${item.limit}`.padStart(16),
    ].join(" "));
  }
  await device.dispose();
}

const builds: WasmBuild[] = option("build") ? [option("build") as WasmBuild] : pickBuild() === "relaxed" ? ["simd", "relaxed"] : ["simd"];
for (const build of builds) {
  if (!option("only") || option("only") === "bytes") await benchBytes(build);
  if (option("only") !== "bytes") await bench(build);
}
