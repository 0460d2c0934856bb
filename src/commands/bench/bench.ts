import { ShapeError } from "../../errors.ts";
import type { SourceFolder } from "../../io/types.ts";
import type { BenchCase } from "./bench-case.ts";
import { bandwidthCases, PEAK } from "./calibration.ts";
import { measureGroup, type BenchDevice } from "./measure.ts";
import type { Budget } from "./meter.ts";
import type { BenchRow } from "./report.ts";
import type { TimingOptions } from "./timing.ts";
import { parseSize, SUITE_NAMES, SUITES, type Suite, type SuiteName } from "./suites.ts";

export interface BenchOptions {
  readonly what: SuiteName | "all";
  /** What to measure on; all of them take turns. */
  readonly devices: readonly BenchDevice[];
  /** Devices, besides, to show the multiply-add peak of: other builds. */
  readonly peaks?: readonly BenchDevice[];
  /** In place of the suite's own; see `SUITES` for the spelling. */
  readonly sizes?: readonly string[] | undefined;
  /** For `train` and `generate`. */
  readonly model: SourceFolder;
  /** Bytes of device memory that may be used in all. */
  readonly memory: number;
  /** How long to measure each case on each device; default 0.5. */
  readonly seconds?: number | undefined;
  readonly onLimit?: (row: BenchRow) => void;
  readonly onCase?: (row: BenchRow) => void;
  readonly onProgress?: (done: number, total: number, next: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface BenchResult {
  /** The calibration: what this machine can do at most. */
  readonly limits: readonly BenchRow[];
  readonly cases: readonly BenchRow[];
}

const CALIBRATION_PART = 0.5; // of the time of a case, which has its limit measured beside it anyway

/**
 * Measures the machine, then the cases, each beside its limit. Wall time; what is wrong in the call is refused
 * before anything is measured. @throws ShapeError, MemoryError, DeviceError
 */
export async function bench(options: BenchOptions): Promise<BenchResult> {
  const { what, devices, peaks = [], memory, seconds = 0.5, signal, onLimit, onCase, onProgress } = options;
  const groups = groupsOf(options);
  const budget: Budget = { total: memory, used: 0 };
  const timing = { seconds, signal };
  const short = { seconds: CALIBRATION_PART * seconds, signal };
  const limits: BenchRow[] = [];
  const cases: BenchRow[] = [];
  const total = groups.length + 1;
  onProgress?.(0, total, "limits of this machine");
  const measured = await calibrate(devices, peaks, budget, short);
  for (const row of measured) {
    limits.push(row);
    onLimit?.(row);
  }
  for (const [i, group] of groups.entries()) {
    onProgress?.(i + 1, total, `${group[0].op} ${group[0].shape}`);
    for (const row of await measureGroup(group, devices, budget, timing)) {
      cases.push(row);
      onCase?.(row);
    }
  }
  onProgress?.(total, total, what);
  return { limits, cases };
}

function groupsOf({ what, sizes, model }: BenchOptions): (readonly BenchCase[])[] {
  if (what === "all" && sizes) throw new ShapeError("bench all", "size", { expected: `one of ${SUITE_NAMES.join(", ")} beside it`, got: sizes.join(",") });
  return (what === "all" ? SUITE_NAMES : [what]).flatMap((name) => {
    const suite: Suite = SUITES[name];
    return suite.groups((sizes ?? suite.defaults).map((text) => parseSize(name, text)), model);
  });
}

async function calibrate(devices: readonly BenchDevice[], peaks: readonly BenchDevice[], budget: Budget, timing: TimingOptions): Promise<BenchRow[]> {
  const rows = await measureGroup([PEAK], [...peaks, ...devices], budget, timing);
  for (const device of devices) {
    for (const item of bandwidthCases(device.threads)) rows.push(...(await measureGroup([item], [device], budget, timing)));
  }
  return rows;
}
