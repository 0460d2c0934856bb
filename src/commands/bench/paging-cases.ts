import type { Device } from "../../device.ts";
import type { SourceFolder } from "../../io/types.ts";
import type { BenchCase } from "./bench-case.ts";
import { loadPaged, shortName } from "./model-cases.ts";
import type { Timed } from "./timing.ts";
import { timedSteps, trainCase } from "./train-case.ts";

/**
 * Steps of `train` with everything on the device, with `frames` pages of the base there, and the copies of such a step
 * alone. A GPU's queue copies between computations, so the second should take what the first and the third do.
 */
export function pagingCases(model: SourceFolder, frames: number, batch: number, length: number): BenchCase[] {
  const shape = `${shortName(model)} ${frames}x${batch}x${length}`;
  const tokens = batch * length;
  return [
    trainCase(model, batch, length),
    { op: "train-paged", shape, tokens, limit: "multiply-add", prepare: async (device) => timedSteps(device, (await loadPaged(device, model, frames)).llama, batch, length) },
    { op: "page-copies", shape, prepare: (device) => timedCopies(device, model, frames) },
  ];
}

/** 2 · (P − k) pages into k frames. */
async function timedCopies(device: Device, model: SourceFolder, frames: number): Promise<Timed> {
  const { pager } = await loadPaged(device, model, frames);
  const { pages, frameBytes } = pager;
  pager.release();
  const targets = Array.from({ length: Math.min(frames, pages.length) }, (_, i) => device.allocate("u8", [frameBytes], `frame ${i}`));
  const page = new Uint8Array(frameBytes).fill(119);
  const copies = 2 * (pages.length - targets.length);
  return {
    async run(times) {
      for (let i = 0; i < times * copies; i++) {
        device.write(targets[i % targets.length], page);
        if (i % 2) await device.finish(); // as many under way as the pager allows
      }
      await device.finish();
    },
  };
}
