import type { Device } from "../../device.ts";
import { DeviceError, ShapeError } from "../../errors.ts";
import type { SourceFolder } from "../../io/types.ts";
import { LEAST_FRAMES, type PagingOptions } from "../../pager/pager.ts";
import { arrangementsOf, type Arrangement } from "../arrangement.ts";
import { smallestLimit } from "../fit-memory.ts";
import { openModel } from "../open-model.ts";
import { TRAIN_DEFAULTS } from "../train-options.ts";
import { QUANTIZATION, shortName } from "./model-cases.ts";
import { pagedRow, unpagedRow, type PagingRow, type Round } from "./paging-row.ts";
import { PagingRun, refuseDifference } from "./paging-run.ts";
import { parseNumbers } from "./suites.ts";
import { Trainee } from "./train-case.ts";

export const PAGING_SIZE = "BATCHxLENGTH or PAGESxBATCHxLENGTH";

export interface PagingBench {
  readonly model: SourceFolder;
  /** As `PAGING_SIZE` says, all of one batch × length; without pages, some numbers of them from 2 to all. Default 1x128. */
  readonly sizes?: readonly string[] | undefined;
  /** A device, with at most `limit` bytes for everything. */
  readonly open: (limit?: number) => Promise<Device>;
  /** Seconds of processor time that this process took so far, where the runtime tells. */
  readonly cpuSeconds?: (() => number) | undefined;
  /** How long to measure the unpaged steps beside each budget; default 3. */
  readonly seconds?: number | undefined;
  readonly onProgress?: ((done: number, total: number, next: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const WARM_STEPS = 3; // engines compile what runs often
const LEAST_ROUNDS = 5;
const MOST_ROUNDS = 31;

/**
 * Training under smaller and smaller budgets: the smallest total that works, then so many pages of the base on the device at a time.
 * For each of them three things take turns: a step with everything on the device, a step with the base paged, and what that
 * step loads, through the same pager with nothing computed. Losses and gradient norms must be those of the unpaged run.
 * @throws KernelError when one differs, ShapeError, MemoryError, DeviceError
 */
export async function benchPaging(bench: PagingBench): Promise<PagingRow[]> {
  const { batch, length, frames } = sizesOf(bench.sizes ?? ["1x128"]);
  await using device = await bench.open();
  const checkpoint = await openModel(bench.model);
  try {
    const fromFile = device.kind === "wasm" && [...checkpoint.tensors.values()].some(({ kind }) => kind === "bnb4");
    const paging: PagingOptions = { hostMemory: fromFile ? undefined : Infinity };
    const frugal = arrangementsOf(TRAIN_DEFAULTS).at(-1)!;
    // What a CPU quantizes while loading it never pages by itself: then there is no smallest total.
    const limit = device.kind === "wasm" && !fromFile ? undefined : await smallestLimit(device, checkpoint, { quantization: QUANTIZATION, paging }, (model) => new Trainee(model, batch, length, frugal).prepare());
    const place = (on: Device, options?: PagingOptions, arrangement?: Arrangement): Promise<PagingRun> => PagingRun.place(on, checkpoint, options, [batch, length], arrangement);
    const unpaged = await place(device);
    const paged = await place(device, { ...paging, frames: LEAST_FRAMES });
    if (!paged.pager) throw new DeviceError("bench paging", bench.model.name, { expected: "linears in 4 bits", got: "nothing to page" });
    await using small = limit === undefined ? undefined : await bench.open(limit);
    const smallest = small && (await place(small, paging, frugal));
    const recomputing = small && (await place(device, undefined, { recompute: true, stacked: false, pagedOptimizer: false }));
    for (let i = 0; i < WARM_STEPS; i++) await unpaged.step();

    const facts = { device: device.kind, build: device.build, threads: device.threads ?? 1, tokens: batch * length, pages: paged.pager.pages.length };
    const shape = (budget: string): string => `${shortName(bench.model)} ${budget}${batch}x${length}`;
    const counts = frames.length ? frames : someCounts(facts.pages);
    const total = counts.length + (smallest ? 1 : 0);
    const rows: PagingRow[] = [];
    const rounds: Round[] = [];
    const under = async (name: string, run: PagingRun, deviceBytes: number, same?: PagingRun): Promise<void> => {
      bench.onProgress?.(rows.length, total, name);
      const taken = await takeTurns(unpaged, run, same, bench);
      rounds.push(...taken);
      rows.push(pagedRow({ ...facts, shape: shape(`${name}x`), frames: run.stats.frames, deviceBytes }, taken));
    };
    if (smallest) await under("smallest", smallest, limit!, recomputing);
    for (const count of counts) {
      paged.pager.limitFrames(count);
      await under(`${count}`, paged, paged.bytes + (count - LEAST_FRAMES) * paged.pager.frameBytes);
    }
    bench.onProgress?.(total, total, "");
    return [unpagedRow({ ...facts, shape: shape(""), frames: 0, deviceBytes: unpaged.bytes }, rounds), ...rows];
  } finally {
    await checkpoint.close();
  }
}

function sizesOf(texts: readonly string[]): { batch: number; length: number; frames: number[] } {
  const sizes = texts.map((text) => parseNumbers("paging", PAGING_SIZE, [2, 3], text));
  const [batch, length] = sizes[0].slice(-2);
  const frames = sizes.flatMap((size) => size.slice(0, -2));
  const expected = `${PAGING_SIZE}, of one batch and length, with pages from ${LEAST_FRAMES} up`;
  if (sizes.some((size) => size.at(-2) !== batch || size.at(-1) !== length) || frames.some((count) => count < LEAST_FRAMES)) throw new ShapeError("bench paging", "size", { expected, got: texts.join(",") });
  return { batch, length, frames };
}

/** From two frames to one for every page. */
function someCounts(pages: number): number[] {
  return [...new Set([0, 0.25, 0.5, 0.75, 1].map((part) => Math.min(pages, Math.max(LEAST_FRAMES, Math.floor(part * pages)))))];
}

/**
 * Rounds until there are enough; the paged run has loaded what it keeps before the first.
 * @param same computes what the paged run does, without paging; by default the unpaged run
 */
async function takeTurns(unpaged: PagingRun, paged: PagingRun, same: PagingRun | undefined, { cpuSeconds = () => 0, seconds = 3, signal }: PagingBench): Promise<Round[]> {
  const timed = async (work: () => Promise<void>): Promise<{ ms: number; cpu: number }> => {
    signal?.throwIfAborted();
    const [began, cpuBefore] = [performance.now(), cpuSeconds()];
    await work();
    return { ms: performance.now() - began, cpu: cpuSeconds() - cpuBefore };
  };
  await paged.step();
  const rounds: Round[] = [];
  for (let spent = 0; rounds.length < LEAST_ROUNDS || (spent < 1000 * seconds && rounds.length < MOST_ROUNDS); ) {
    const alone = await timed(() => unpaged.step());
    const compute = same ? await timed(() => same.step()) : alone;
    const before = paged.stats;
    const step = await timed(() => paged.step());
    const after = paged.stats;
    const copies = await timed(() => paged.load());
    rounds.push({ alone, compute, step, copies: { ...copies, bytes: paged.stats.bytesUp - after.bytesUp }, before, after });
    spent += alone.ms;
  }
  while (unpaged.results.length < paged.results.length) await unpaged.step();
  refuseDifference(paged.results, unpaged.results);
  return rounds;
}
