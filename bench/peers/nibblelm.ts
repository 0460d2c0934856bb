// Our side of run.mjs: the cases of `nibblelm bench`. arguments: simd|relaxed THREADS
import { kernels } from "#kernels";
import { parseSize, SUITES, type Suite, type SuiteName } from "../../src/commands/bench/suites.ts";
import { openSource } from "../../src/io/node.ts";
import { nodeWorkers } from "../../src/io/workers-node.ts";
import { WasmDevice } from "../../src/wasm/device.ts";
import type { WasmBuild } from "../../src/wasm/kernels.ts";
import { serve } from "./serve.mjs";

interface PeerCase { readonly suite: SuiteName; readonly op: string; readonly size: string; readonly model?: string }

const [build, threads] = process.argv.slice(2);
const device = await WasmDevice.create({ wasm: kernels, build: build as WasmBuild, threads: Number(threads), workers: nodeWorkers });

await serve(`NibbleLM ${device.description}`, async ({ suite, op, size, model }: PeerCase) => {
  const cases = (SUITES[suite] as Suite).groups([parseSize(suite, size)], await openSource(model ?? "src/demo")).flat();
  const item = cases.find((one) => one.op === op);
  if (!item) throw new Error(`${suite} ${size} has no ${op}`);
  const timed = await item.prepare(device);
  return (times: number) => timed.run(times);
});
