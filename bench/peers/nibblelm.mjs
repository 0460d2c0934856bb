// Our side of run.mjs, which bundles it: the cases of `nibblelm bench`. arguments: simd|relaxed THREADS
// Case: {"suite", "op", "size", "model"?: path}
import { kernels } from "#kernels";
import { parseSize, SUITES } from "../../src/commands/bench/suites.ts";
import { openSource } from "../../src/io/node.ts";
import { nodeWorkers } from "../../src/io/workers-node.ts";
import { WasmDevice } from "../../src/wasm/device.ts";
import { serve } from "./serve.mjs";

const [build, threads] = process.argv.slice(2);
const device = await WasmDevice.create({ wasm: kernels, build, threads: Number(threads), workers: nodeWorkers });

await serve(`NibbleLM ${device.description}`, async ({ suite, op, size, model }) => {
  const cases = SUITES[suite].groups([parseSize(suite, size)], await openSource(model ?? "src/demo")).flat();
  const item = cases.find((one) => one.op === op);
  if (!item) throw new Error(`${suite} ${size} has no ${op}`);
  const timed = await item.prepare(device);
  return (times) => timed.run(times);
});
