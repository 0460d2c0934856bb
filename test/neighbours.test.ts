import { suite } from "uvu";
import * as assert from "uvu/assert";
import { BusyLoops } from "../src/cli/neighbours/busy-loops.ts";
import type { Reading } from "../src/cli/neighbours/measure.ts";
import { spinningWorkers } from "../src/cli/neighbours/spinning-workers.ts";
import { neighbourRows } from "../src/cli/neighbours/verdict.ts";
import { fill } from "../src/ops/index.ts";
import { WasmDevice } from "../src/wasm/device.ts";
import { kernels } from "../src/kernels/full.ts";

const neighbours = suite("neighbours");

const reading = (part: Partial<Reading>, wall: number): Reading => ({
  mode: "fair", threads: 2, loops: 0, tokens: 128, cpu: 1, controlCpu: 0.5, neighbour: undefined, wall: { median: wall, p10: wall, p90: wall, rounds: 3 }, ...part,
});

neighbours("slowdown, fair share and penalty", () => {
  const rows = neighbourRows([reading({}, 1), reading({ loops: 2, neighbour: 0.5 }, 2.2), reading({ loops: 4, neighbour: 0.6 }, 4.5)], 2);
  assert.equal(rows.map(({ slowdown, fairShare }) => [slowdown, fairShare]), [[1, 1], [2.2, 2], [4.5, 3]]);
  assert.equal(rows.map(({ misses }) => misses), [[], [], ["share"]]);
});

neighbours("a polite device owes its neighbours their speed and itself nothing; whoever burns time misses efficiency", () => {
  const polite = neighbourRows([reading({ mode: "polite" }, 1), reading({ mode: "polite", loops: 2, neighbour: 0.9 }, 20), reading({ mode: "polite", loops: 4, neighbour: 0.96 }, 30)], 2);
  assert.equal(polite.map(({ misses }) => misses), [[], ["neighbour"], []]);
  const spinning = neighbourRows([reading({ mode: "spinning" }, 1), reading({ mode: "spinning", loops: 4, cpu: 2, neighbour: 0.6 }, 3)], 2);
  assert.equal(spinning[1].misses, ["efficiency"]);
  assert.equal([spinning[1].efficiency, spinning[1].controlEfficiency, spinning[1].tokensPerSecond], [0.5, 1, 128 / 3]);
});

neighbours("busy loops tell their speed, and end", async () => {
  const loops = await BusyLoops.start(1);
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.ok((await loops.speed()) > 0);
  await loops.stop();
});

neighbours("the spinning workers compute the same", async () => {
  await using device = await WasmDevice.create({ wasm: kernels, threads: 2, workers: spinningWorkers() });
  const y = device.allocate("f32", [1000], "y");
  device.run(fill, { y }, { n: 1000, value: 7 });
  assert.ok((await device.read(y)).every((value) => value === 7));
});

neighbours.run();
