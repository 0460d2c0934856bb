import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, KernelError, MemoryError } from "../src/errors.ts";
import { checksum, Page } from "../src/pager/page.ts";
import { Pager, type PagingOptions } from "../src/pager/pager.ts";
import { Plan } from "../src/pager/plan.ts";
import { CountingDevice } from "./support/counting-device.ts";

const up = (n: number): number[] => Array.from({ length: n }, (_, i) => i);
const training = (layers: number, trained = layers): Plan => new Plan([...up(layers), ...up(layers).slice(layers - trained).reverse()]);
const sweep = (layers: number): Plan => new Plan(up(layers));
const UNIT = 256;
const ROOM = 2 ** 19;

/** A page whose bytes say which page it is. */
function page(number: number, units = 1, read?: (into: Uint8Array) => void | Promise<void>): Page {
  return new Page(`page ${number}`, [{ dtype: "u8", elements: units * UNIT, label: `part ${number}`, read: read ?? ((into) => void into.fill(number + 1)) }]);
}

interface World { device: CountingDevice; pager: Pager }

function world(sizes: readonly number[], frames: number, options: PagingOptions = {}, kind: "wasm" | "webgpu" = "webgpu"): World {
  const device = new CountingDevice(kind);
  return { device, pager: new Pager(device, sizes.map((units, i) => page(i, units)), { frames, ...options }) };
}

/** Runs one sweep, looking at every page while it is in use, and returns the loads of each use. */
async function run({ device, pager }: World, plan: Plan): Promise<number[]> {
  const loads: number[] = [];
  const wrong: number[] = [];
  await pager.begin(plan);
  for (const number of plan.uses) {
    const before = pager.stats.loads;
    await pager.use(number);
    loads.push(pager.stats.loads - before);
    device.look(pager.tensor(number, 0), (bytes) => { if (!bytes.every((byte) => byte === number + 1)) wrong.push(number); });
  }
  await device.finish();
  assert.equal(wrong, [], "an op saw the bytes of another page");
  return loads;
}

const sum = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0);

/** Belady's algorithm as in the textbook: the whole future is known. Returns the misses of every use. */
function belady(uses: readonly number[], frames: number): number[] {
  const there = new Set<number>();
  return uses.map((page, at) => {
    if (there.has(page)) return 0;
    if (there.size === frames) {
      const next = (p: number): number => { const i = uses.indexOf(p, at + 1); return i < 0 ? Infinity : i; };
      there.delete([...there].reduce((a, b) => (next(b) > next(a) ? b : a)));
    }
    there.add(page);
    return 1;
  });
}

const pager = suite("pager");

pager("P1: a training step loads L − k pages up and L − k down; the first one L and L − k", async () => {
  for (const [layers, frames] of [[2, 2], [5, 2], [6, 5], [22, 6], [22, 21], [30, 7]]) {
    const here = world(Array<number>(layers).fill(1), frames);
    const plan = training(layers);
    for (let step = 0; step < 4; step++) {
      const loads = await run(here, plan);
      assert.is(sum(loads.slice(0, layers)), step ? layers - frames : layers, `up, L = ${layers}, k = ${frames}`);
      assert.is(sum(loads.slice(layers)), layers - frames, `down, L = ${layers}, k = ${frames}`);
    }
  }
});

pager("any plan loads what Belady's algorithm does with the whole future before it", () =>
  fc.assert(fc.asyncProperty(fc.array(fc.nat(9), { minLength: 1, maxLength: 30 }), fc.integer({ min: 2, max: 10 }), async (uses, frames) => {
    const plan = new Plan(uses);
    const here = world(Array<number>(10).fill(1), frames);
    const sweeps = 4;
    const got: number[] = [];
    for (let i = 0; i < sweeps; i++) got.push(...(await run(here, plan)));
    // One sweep more lets the textbook see as far as the pager, which knows that sweeps go on. A use twice in a row is one.
    const future = Array<readonly number[]>(sweeps + 2).fill(plan.uses).flat();
    assert.is(sum(got), sum(belady(future, frames).slice(0, sweeps * plan.uses.length)));
  }), { numRuns: 200 }));

pager("P7: an evaluation or generation sweep loads at most L − k + 1, on average L (L − k) / (L − 1)", async () => {
  for (const [layers, frames] of [[22, 6], [22, 11], [22, 21], [30, 7], [3, 2]]) {
    const here = world(Array<number>(layers).fill(1), frames);
    await run(here, sweep(layers));
    let all = 0;
    const sweeps = layers - 1;
    for (let i = 0; i < sweeps; i++) {
      const loads = sum(await run(here, sweep(layers)));
      assert.ok(loads <= layers - frames + 1, `${loads} loads, L = ${layers}, k = ${frames}`);
      all += loads;
    }
    assert.ok(Math.abs(all - layers * (layers - frames)) <= 1, `${all} loads in ${sweeps} sweeps`);
  }
});

pager("training only the top layers, and training with evaluation between, load what the table of optima says", async () => {
  const average = async (plan: Plan, layers: number, frames: number): Promise<number> => {
    const here = world(Array<number>(layers).fill(1), frames);
    for (let i = 0; i < 4; i++) await run(here, plan);
    const before = here.pager.stats.loads;
    for (let i = 0; i < 62; i++) await run(here, plan);
    return (here.pager.stats.loads - before) / 62;
  };
  for (const [frames, loads] of [[8, 33], [16, 17], [24, 8.5]]) assert.ok(Math.abs((await average(training(32, 16), 32, frames)) - loads) < 0.3, `top 16 of 32, k = ${frames}`);
  const both = new Plan([...training(22).uses, ...up(22)]);
  for (const [frames, loads] of [[6, 48], [11, 33], [16, 18], [21, 3]]) assert.ok(Math.abs((await average(both, 22, frames)) - loads) < 0.6, `with evaluation, k = ${frames}`);
});

pager("P2: pages of any sizes move between 2 (W − k largest) and 2 (W − k smallest) bytes a step", () =>
  fc.assert(fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 2, maxLength: 24 }), fc.nat(), async (sizes, pick) => {
    const frames = 2 + (pick % (sizes.length - 1));
    const here = world(sizes, frames);
    await run(here, training(sizes.length));
    const before = here.pager.stats.bytesUp;
    await run(here, training(sizes.length));
    const moved = (here.pager.stats.bytesUp - before) / UNIT;
    const sorted = [...sizes].sort((a, b) => b - a);
    const W = sum(sizes);
    assert.ok(moved >= 2 * (W - sum(sorted.slice(0, frames))) && moved <= 2 * (W - sum(sorted.slice(-frames))), `${moved} of ${W}`);
    assert.is(here.device.bytesUp, here.pager.stats.bytesUp);
  }), { numRuns: 150 }));

pager("layers of one size and slices of the head of another: all that a run does moves what the simulator says, and between P2's bounds", async () => {
  const [layers, slices, bottom] = [12, 7, 4];
  const pages = layers + slices;
  const sizes = up(pages).map((i) => (i < layers ? 9 : i < pages - 1 ? 8 : 3)); // the last slice is shorter
  const whole = [...up(pages), ...up(pages).reverse()];
  for (const frames of [2, 5, 11, 18]) {
    const here = world(sizes, frames);
    const moved = async (plan: Plan): Promise<number> => {
      const before = here.pager.stats.bytesUp;
      await run(here, plan);
      return (here.pager.stats.bytesUp - before) / UNIT;
    };
    await run(here, new Plan(whole));
    const bytes = await moved(new Plan(whole));
    const sorted = [...sizes].sort((a, b) => b - a);
    assert.ok(bytes >= 2 * (sum(sizes) - sum(sorted.slice(0, frames))) && bytes <= 2 * (sum(sizes) - sum(sorted.slice(-frames))), `${bytes} units with ${frames} frames`);
    // Trained from layer 4 on, with an evaluation and a token after every step: no palindrome any more.
    const mixed = new Plan([...up(pages), ...up(pages).slice(bottom).reverse(), ...up(pages), ...up(layers), ...up(pages)]);
    const mixedWorld = world(sizes, frames);
    const got: number[] = [];
    for (let i = 0; i < 3; i++) got.push(...(await run(mixedWorld, mixed)));
    assert.is(sum(got), sum(belady(Array<readonly number[]>(5).fill(mixed.uses).flat(), frames).slice(0, 3 * mixed.uses.length)));
  }
});

pager("as many sweeps become one as make a step load the fewest pages", () => {
  const best = (limit: number, count: number, bytes: number, frames?: number): number =>
    new Pager(new CountingDevice("webgpu", limit), up(10).map((i) => page(i)), { frames }).bestTogether(count, bytes);
  const room = (frames: number): number => ROOM + frames * UNIT;
  assert.is(best(Infinity, 8, 1e9, 2), 8); // memory is no matter
  assert.is(best(room(10), 8, UNIT), 1); // with a frame for every page nothing moves anyway
  assert.is(best(room(2), 8, UNIT), 1); // two frames must stay
  assert.is(best(room(4), 8, UNIT), 3); // 3 sweeps of 8 pages; 8 of 6 alone, 4 of 7 in pairs
  assert.is(best(room(9), 2, 5 * UNIT), 1); // 2 sweeps of 1 page are less than one of 6
});

pager("P3: with a frame for every page nothing moves after the first sweep, and nothing is read ahead", async () => {
  const here = world([3, 1, 2], 9);
  await run(here, training(3));
  const { bytesUp, bytesRead } = here.pager.stats;
  for (let i = 0; i < 3; i++) await run(here, i % 2 ? training(3) : sweep(3));
  assert.is(here.pager.stats.bytesUp, bytesUp);
  assert.is(here.pager.stats.bytesRead, bytesRead);
  assert.is(bytesUp, 6 * UNIT);
});

pager("P5: under any limit frames fill what is left and no more, and all are allocated in the first sweep", () =>
  fc.assert(fc.asyncProperty(fc.integer({ min: 2, max: 12 }), fc.integer({ min: 0, max: 4000 }), fc.integer({ min: 0, max: 20 }), fc.constantFrom("wasm" as const, "webgpu" as const), async (layers, other, room, kind) => {
    const device = new CountingDevice(kind, other + ROOM + room * UNIT);
    if (other) device.allocate("u8", [other], "activations");
    const before = device.memory.live;
    const here = { device, pager: new Pager(device, up(layers).map((i) => page(i)), { hostMemory: 0 }) };
    const frames = Math.min(layers, kind === "wasm" ? room - 1 : room); // on the CPU the page being read is under the limit too
    if (frames < 2) {
      await rejects(() => run(here, sweep(layers)), MemoryError, new RegExp(`at least ${before + ROOM + (kind === "wasm" ? 3 : 2) * UNIT} bytes`));
      assert.is(device.memory.live, before);
      return;
    }
    await run(here, training(layers));
    const { allocations } = device;
    await run(here, training(layers));
    await run(here, sweep(layers));
    assert.is(device.allocations, allocations);
    assert.is(here.pager.stats.frames, frames);
    assert.ok(device.memory.peak <= device.memory.limit - ROOM);
    here.pager.release();
    assert.is(device.memory.live, before);
  }), { numRuns: 150 }));

pager("the smallest limit that the error names works", async () => {
  const attempt = async (limit: number): Promise<World> => {
    const device = new CountingDevice("webgpu", limit);
    device.allocate("u8", [777], "activations");
    const here = { device, pager: new Pager(device, up(9).map((i) => page(i, 5))) };
    await run(here, training(9));
    return here;
  };
  const message = await rejects(() => attempt(5000), MemoryError, /at least (\d+) bytes in all, 2 pages of them, got 5000\n {2}hint/);
  const named = Number(/at least (\d+)/.exec(message)![1]);
  assert.is((await attempt(named)).pager.stats.frames, 2);
  await rejects(() => attempt(named - 1), MemoryError, /at least/);
});

pager("P9: memory that runs out at any allocation leaves fewer frames and the same pages", async () => {
  for (let failAt = 1; failAt <= 8; failAt++) {
    const here = world(Array<number>(7).fill(1), 7);
    here.device.failAt = failAt;
    if (failAt <= 2) {
      await rejects(() => run(here, training(7)), MemoryError, /less from the system/);
      assert.is(here.device.memory.live, 0);
      continue;
    }
    for (let step = 0; step < 3; step++) await run(here, training(7));
    // One is given back, for whatever else needs memory.
    const { frames } = here.pager.stats;
    assert.is(frames, failAt > 7 ? 7 : Math.max(2, failAt - 2), `failing at ${failAt}`);
    assert.is(here.device.memory.live, frames * UNIT);
  }
});

pager("frames given back between passes are allocated again", async () => {
  const here = world([1, 1, 1, 1], 3);
  await run(here, training(4));
  here.pager.release();
  assert.is(here.device.memory.live, 0);
  await run(here, sweep(4));
  assert.is(here.device.memory.live, 3 * UNIT);
});

const turns = async (n: number): Promise<void> => { for (let i = 0; i < n; i++) await new Promise((resolve) => setImmediate(resolve)); };

pager("P12: while a page is computed the next is read, so only the first is waited for", async () => {
  for (const kind of ["wasm", "webgpu"] as const) {
    const device = new CountingDevice(kind);
    const pages = up(8).map((i) => page(i, 1, async (into) => { await turns(4); into.fill(i + 1); })); // longer than a fence, shorter than a layer
    const pager = new Pager(device, pages, { frames: 3, hostMemory: 0 });
    for (let step = 0; step < 3; step++) {
      await pager.begin(training(8));
      for (const number of training(8).uses) {
        await pager.use(number);
        await turns(8);
      }
    }
    const { loads, stalls, bytesRead } = pager.stats;
    assert.is(loads, 8 + 5 + 2 * 10);
    assert.is(stalls, 1, kind);
    // The page for the step after the last is there already.
    assert.is(bytesRead, (loads + 1) * UNIT);
  }
});

pager("P11: a page is written only when at most one other write is under way, on the CPU none", async () => {
  for (const [kind, most] of [["wasm", 1], ["webgpu", 2]] as const) {
    const here = world(Array<number>(12).fill(1), 2, {}, kind);
    for (let step = 0; step < 2; step++) await run(here, training(12));
    assert.is(here.device.mostWaiting, most * UNIT, kind);
  }
});

pager("host memory keeps the pages that fit, and only the others are read again", async () => {
  const reads = Array<number>(6).fill(0);
  const pages = up(6).map((i) => page(i, 1, (into) => { reads[i]++; into.fill(i + 1); }));
  const device = new CountingDevice("webgpu");
  const here = { device, pager: new Pager(device, pages, { frames: 2, hostMemory: 4 * UNIT }) };
  for (let step = 0; step < 5; step++) await run(here, training(6));
  assert.equal(reads.slice(0, 3), [1, 1, 1]); // the fourth page's bytes are the buffer for reading
  assert.ok(reads.slice(3).every((n) => n >= 5), String(reads));
  assert.is(here.pager.stats.peakHostBytes, 4 * UNIT);
});

pager("a page that cannot be read again is kept whatever the budget", async () => {
  let reads = 0;
  const kept = page(0, 1, (into) => { reads++; into.fill(1); });
  await kept.keep();
  const device = new CountingDevice("webgpu");
  const here = { device, pager: new Pager(device, [kept, page(1), page(2)], { frames: 2, hostMemory: 0 }) };
  for (let step = 0; step < 3; step++) await run(here, training(3));
  assert.is(reads, 1);
});

pager("a file that changes or becomes shorter under the pager is an error that names the page", async () => {
  for (const [change, message] of [["byte", /page 2: checksum of a page that was read again: .*\n {2}hint: the model's file has changed/], ["end", /became shorter/]] as const) {
    let changed = false;
    const pages = up(5).map((i) => page(i, 1, (into) => {
      into.fill(i + 1);
      if (!changed || i !== 2) return;
      if (change === "end") throw new FormatError("file", "file became shorter while it was read");
      into[100] ^= 4;
    }));
    const device = new CountingDevice("wasm");
    const here = { device, pager: new Pager(device, pages, { frames: 2, hostMemory: 0 }) };
    await run(here, training(5));
    changed = true;
    await rejects(() => run(here, training(5)), FormatError, message);
    here.pager.release();
    assert.is(device.memory.live, 0);
  }
});

pager("any changed byte changes the checksum", () =>
  fc.assert(fc.property(fc.uint8Array({ minLength: 64, maxLength: 64 }), fc.nat(63), fc.integer({ min: 1, max: 255 }), (data, at, flip) => {
    const bytes = new Uint8Array(data);
    const before = checksum(bytes);
    bytes[at] ^= flip;
    assert.is.not(checksum(bytes), before);
  })));

pager("using a page out of order or one that is not there is a bug, not a wrong result", async () => {
  const here = world([1, 1, 1], 2);
  await here.pager.begin(sweep(3));
  await here.pager.use(0);
  await rejects(() => here.pager.use(2), KernelError, /out of order: expected 1, got 2/);
  assert.throws(() => here.pager.tensor(2, 0), /page 2 is used/);
});

pager.run();

async function rejects(work: () => Promise<unknown>, kind: new (...args: never[]) => Error, message: RegExp): Promise<string> {
  try {
    await work();
  } catch (error) {
    assert.instance(error, kind);
    assert.match((error as Error).message, message);
    return (error as Error).message;
  }
  return assert.unreachable(`no error like ${message}`) as never;
}
