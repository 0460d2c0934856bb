import { kernels } from "#kernels";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { createDevice } from "../src/create-device.ts";
import { NodePace } from "../src/io/pace-node.ts";
import { WebPace } from "../src/io/pace-web.ts";
import { pressureMeter, type Counters } from "../src/io/pressure-node.ts";
import { planThreads } from "../src/io/threads-node.ts";
import { nodeWorkersAt } from "../src/io/workers-node.ts";
import { fill } from "../src/ops/index.ts";
import { AllowanceController, LEAST_ALLOWANCE, type Pressure } from "../src/wasm/pace.ts";
import type { WorkerHandle } from "../src/wasm/worker-host.ts";
import { WasmDevice } from "../src/wasm/device.ts";

const pace = suite("pace");
const FULL: Pressure = { waiting: 0.5, room: 0 };
const EMPTY: Pressure = { waiting: 0, room: 8 };

function feed(controller: AllowanceController, pressure: Pressure, times: number): number[] {
  return Array.from({ length: times }, () => controller.next(pressure));
}

pace("gives up threads when it waits twice in a row, down to a part of one thread, and never all", () => {
  const controller = new AllowanceController(8);
  assert.equal(feed(controller, FULL, 10), [8, 5, 5, 3, 3, 2, 2, 1, 1, 0.5]);
  assert.is(feed(controller, FULL, 20).at(-1), LEAST_ALLOWANCE);
});

pace("one bad interval is no reason", () => {
  const controller = new AllowanceController(4);
  for (let i = 0; i < 5; i++) assert.equal([controller.next(FULL), controller.next(EMPTY)], [4, 4]);
});

pace("takes threads back one by one, each after two seconds of calm", () => {
  const controller = new AllowanceController(4);
  feed(controller, FULL, 4);
  assert.equal(feed(controller, EMPTY, 8), [1, 1, 1, 1, 1, 1, 1, 2]);
  assert.is(feed(controller, EMPTY, 100).at(-1), 4);
});

pace("a thread that seldom runs hardly waits: on a machine that is full it still stays back", () => {
  const controller = new AllowanceController(1);
  feed(controller, FULL, 20);
  assert.is(feed(controller, { waiting: 0, room: LEAST_ALLOWANCE }, 100).at(-1), LEAST_ALLOWANCE);
  assert.is(feed(controller, { waiting: 0, room: 2 }, 100).at(-1), 1);
});

function meterOf(steps: readonly Counters[]): (Pressure | undefined)[] {
  let i = 0;
  const read = pressureMeter(() => steps[i++]);
  return steps.slice(1).map(() => read());
}

pace("pressure: run delay as a part of the time wanted, room as what others left", () => {
  const first = { ours: 0, waited: 0, busy: 0, all: 0, cores: 2 };
  assert.equal(meterOf([first, { ours: 1, waited: 1, busy: 2, all: 2, cores: 2 }]), [{ waiting: 0.5, room: 1 }]);
  assert.equal(meterOf([first, { ours: 0, waited: 0, busy: 2, all: 2, cores: 2 }]), [undefined]);
  assert.equal(meterOf([{ ...first, waited: undefined }, { ours: 1, waited: undefined, busy: 2, all: 2, cores: 2 }]), [{ waiting: 1, room: 1 }]);
  assert.equal(meterOf([{ ...first, waited: undefined }, { ours: 1, waited: undefined, busy: 1, all: 2, cores: 2 }]), [{ waiting: 0, room: 2 }]);
});

const CORES = { machine: 8, affinity: 8, quota: undefined, usable: 8 };

pace("one core stays free by default; a share is of the cores that we may use", () => {
  assert.is(planThreads({}, CORES).threads, 7);
  assert.is(planThreads({}, { ...CORES, affinity: 1, usable: 1 }).threads, 1);
  assert.is(planThreads({ threads: 8 }, CORES).threads, 8);
  assert.is(planThreads({ cpuShare: 0.5 }, CORES).threads, 4);
  const tenth = planThreads({ cpuShare: 0.1 }, CORES);
  assert.is(tenth.threads, 1);
  assert.is(tenth.pace?.record.most, 0.8);
  assert.is(planThreads({ cpuShare: 0.5 }, { ...CORES, quota: 1.5, usable: 1 }).pace?.record.most, 0.75);
  assert.is(planThreads({}, CORES).pace, undefined);
});

for (const threads of [0, -1, 1.5, NaN]) {
  pace(`${threads} threads are refused`, () => assert.throws(() => planThreads({ threads }, CORES), /threads: .*expected a whole number/));
}
for (const cpuShare of [0, -0.5, 1.1, NaN]) {
  pace(`a share of ${cpuShare} is refused`, () => assert.throws(() => planThreads({ cpuShare }, CORES), /cpuShare: expected a number above 0/));
}

pace("workers rank themselves, and the allowance changes no result", async () => {
  const changes: number[] = [];
  const full = new NodePace({ polite: true, most: 2, onChange: (allowance) => changes.push(allowance), meter: () => FULL });
  await using device = await WasmDevice.create({ wasm: kernels, threads: 2, workers: nodeWorkersAt(19), pace: full });
  assert.is(device.schedule.nice, 19);
  assert.match(device.description, /2 threads, polite, nice 19/);
  const n = 1 << 20;
  const y = device.allocate("f32", [n], "y");
  const work = async (value: number): Promise<void> => {
    device.run(fill, { y }, { n, value });
    const values = await device.read(y);
    assert.ok(values.every((v) => v === value));
  };
  for (const allowance of [2, 1, 0.5]) {
    device.allowance = allowance;
    await work(allowance);
  }
  device.allowance = 2;
  const end = performance.now() + 2000;
  while (!changes.includes(1) && performance.now() < end) await work(3);
  assert.ok(changes.includes(1), String(changes)); // on a busy machine the pace may first undo what this test set
  assert.is(device.schedule.least, 1);
});

pace("workers beyond the allowance are not even woken", async () => {
  const woken: number[] = [];
  let spawned = 0;
  const host = nodeWorkersAt(0);
  const spawn = async (): Promise<WorkerHandle> => {
    const [worker, index] = [await host.spawn(), spawned++];
    return { ...worker, post: (message) => { if (message.type === "run") woken.push(index); worker.post(message); } };
  };
  await using device = await WasmDevice.create({ wasm: kernels, threads: 3, workers: { spawn } });
  const y = device.allocate("f32", [1 << 20], "y");
  for (const [allowance, team] of [[3, [0, 1, 2]], [1.5, [0, 1]], [0.5, [0]], [2, [0, 1]]] as const) {
    device.allowance = allowance;
    woken.length = 0;
    device.run(fill, { y }, { n: 1 << 20, value: allowance });
    assert.ok((await device.read(y)).every((value) => value === allowance));
    assert.equal(woken, team);
  }
});

/** As a browser has it: told what to say. */
class FakeObserver {
  static say: (state: string) => void = () => undefined;
  static refuses = false;
  static observing = 0;
  constructor(callback: (records: readonly { state: never }[]) => void) {
    FakeObserver.say = (state) => callback([{ state: state as never }]);
  }
  async observe(): Promise<void> {
    if (FakeObserver.refuses) throw new Error("NotAllowedError");
    FakeObserver.observing++;
  }
  disconnect(): void {
    FakeObserver.observing--;
  }
}

async function until(reached: () => boolean): Promise<void> {
  for (const end = performance.now() + 5000; performance.now() < end && !reached(); ) await new Promise((resolve) => setTimeout(resolve, 20));
  assert.ok(reached());
}

pace("in a browser: back while the machine's pressure is critical, no further while it is serious", async () => {
  const changes: number[] = [];
  const web = new WebPace((allowance) => changes.push(allowance), FakeObserver);
  {
    await using device = await WasmDevice.create({ wasm: kernels, threads: 2, workers: nodeWorkersAt(0), pace: web });
    assert.equal([device.description.includes("2 threads, polite"), FakeObserver.observing], [true, 1]);
    FakeObserver.say("critical");
    await until(() => changes.length === 1);
    FakeObserver.say("serious");
    await new Promise((resolve) => setTimeout(resolve, 600));
    assert.equal([changes, device.allowance, device.schedule.policy, device.schedule.least, device.schedule.changes], [[1], 1, "polite", 1, 1]);
  }
  assert.is(FakeObserver.observing, 0);
});

pace("in a browser without Compute Pressure, or in a page that may not observe, polite is refused", async () => {
  assert.throws(() => new WebPace(undefined, undefined), /polite: .* expected PressureObserver, got none/);
  FakeObserver.refuses = true;
  const call = WasmDevice.create({ wasm: kernels, threads: 1, workers: nodeWorkersAt(0), pace: new WebPace(undefined, FakeObserver) });
  await call.then(() => assert.unreachable(), (error: Error) => assert.match(error.message, /may not be observed: expected the permission compute-pressure, got NotAllowedError/));
  await createDevice({ kind: "wasm", polite: true }).then(() => assert.unreachable(), (error: Error) => assert.match(error.message, /expected PressureObserver/));
});

pace("an allowance must be a part of the threads", async () => {
  await using device = await WasmDevice.create({ wasm: kernels, threads: 2, workers: nodeWorkersAt(0) });
  for (const allowance of [0, -1, 3, NaN]) assert.throws(() => { device.allowance = allowance; }, /allowance/);
  await using single = await WasmDevice.create({ wasm: kernels });
  assert.throws(() => { single.allowance = 0.5; }, /without workers/);
});

pace.run();
