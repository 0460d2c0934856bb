import { benchPaging } from "../commands/bench/paging.ts";
import type { PagingRow } from "../commands/bench/paging-row.ts";
import type { BenchResult } from "../commands/bench/bench.ts";
import { cpuSeconds } from "../io/cpu-time.ts";
import { openDevice } from "./device.ts";
import { bytesText, countText, table } from "./format.ts";
import { snakeCased } from "./json.ts";
import type { Session } from "./session.ts";
import { openModelSource } from "./sources.ts";

interface PagingValues {
  readonly model: string;
  readonly device: "auto" | "wasm" | "webgpu";
  readonly threads: number;
  readonly relaxedSimd: boolean | undefined;
  readonly size: readonly string[] | undefined;
}

/** `nibblelm bench paging`: what training takes under smaller and smaller budgets, beside all of the base on the device. */
export async function reportPaging({ model, size, ...values }: PagingValues, session: Session): Promise<Pick<BenchResult, "cases">> {
  const { output, signal } = session;
  let kind = values.device;
  const bar = output.progress("bench");
  const cases = await benchPaging({
    model: await openModelSource(model, session), sizes: size, cpuSeconds, signal,
    open: async (limit) => {
      const device = await openDevice({ ...values, device: kind, ...(limit === undefined ? {} : kind === "webgpu" ? { gpuMemory: limit } : { hostMemory: limit }) }, output);
      kind = device.kind as typeof kind;
      return device;
    },
    onProgress: (done, total, what) => (done ? bar.update(done, total, [what]) : undefined),
  });
  output.endProgress();
  for (const row of cases) output.object({ event: "case", ...(snakeCased(row) as object) });
  for (const line of pagingTable(cases)) output.line(line);
  return { cases };
}

export function pagingTable(rows: readonly PagingRow[]): string[] {
  const head = ["pages there", "device", "step", "tokens/s", "loads", "moved", "upload", "slowdown", "over bound", "hidden", "CPU"];
  const body = rows.map((row) => {
    const { op, frames, pages, deviceBytes, medianMs, p10Ms, p90Ms, tokensPerSecond, loads, bytesUp, bytesDown, uploadGbPerS, slowdown, overBound, overlap, cpuSeconds: cpu } = row;
    return [
      op === "train" ? "all, unpaged" : `${frames} of ${pages}`, bytesText(deviceBytes), `${countText(medianMs!)} ms ±${((50 * (p90Ms! - p10Ms!)) / medianMs!).toFixed(0)} %`, tokensPerSecond!.toPrecision(3),
      loads === undefined ? "" : String(loads), bytesUp === undefined ? "" : bytesText(bytesUp + bytesDown!), uploadGbPerS === undefined ? "" : `${uploadGbPerS.toPrecision(3)} GB/s`,
      slowdown === undefined ? "" : `${slowdown.toFixed(2)} ×`, overBound === undefined ? "" : overBound.toFixed(2), overlap === undefined ? "" : `${(100 * overlap).toFixed(0)} %`, `${cpu.toPrecision(3)} s`,
    ];
  });
  return [
    ...table([head, ...body], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]), "",
    ...(rows.some(({ shape }) => shape.includes(" smallest")) ? ["The first budget is the smallest total that works: inputs of layers and the optimizer's states wait on the host too."] : []),
    "Bound: the unpaged step + bytes moved / upload, both measured in turns with the step.",
    "Losses and gradient norms were those of the unpaged run, to the bit.",
  ];
}
