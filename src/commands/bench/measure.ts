import type { Device } from "../../device.ts";
import type { BenchCase } from "./bench-case.ts";
import { limitOf, percentOfLimit, type Limit } from "./limits.ts";
import { Meter, type Budget } from "./meter.ts";
import { timedOp } from "./op-case.ts";
import type { BenchRow } from "./report.ts";
import type { Spread } from "./statistics.ts";
import { interleave, type Timed, type TimingOptions } from "./timing.ts";

export interface BenchDevice {
  readonly device: Device;
  readonly threads: number;
}

/** A case on a device, ready to run. */
interface Entry {
  readonly item: BenchCase;
  readonly on: BenchDevice;
  readonly meter: Meter;
  /** Of one run, by the contracts of the ops that it ran. */
  readonly flops: number;
  readonly bytes: number;
  readonly timed: Timed | undefined;
  readonly limit: { readonly limit: Limit; readonly timed: Timed } | undefined;
}

/** Times the cases on all devices, and the limit of each, in turns. One row a case and device, also where it could not run. */
export async function measureGroup(cases: readonly BenchCase[], devices: readonly BenchDevice[], budget: Budget, timing: TimingOptions): Promise<BenchRow[]> {
  const meters: Meter[] = [];
  try {
    const entries: Entry[] = [];
    for (const item of cases) {
      for (const on of devices) {
        const meter = new Meter(on.device, budget);
        meters.push(meter);
        entries.push(await prepare(item, on, meter));
      }
    }
    const items = entries.flatMap(({ timed, limit }) => [...(timed ? [timed] : []), ...(limit ? [limit.timed] : [])]);
    const spreads = (await interleave(items, timing)).values();
    const next = (): Spread => spreads.next().value!;
    return entries.map((entry) => (entry.timed ? rowOf(entry, next(), entry.limit && next()) : { ...keyOf(entry), missing: entry.meter.missing! }));
  } finally {
    for (const meter of meters) await meter.dispose();
  }
}

async function prepare(item: BenchCase, on: BenchDevice, meter: Meter): Promise<Entry> {
  try {
    const timed = await item.prepare(meter);
    meter.flops = meter.bytes = 0;
    await timed.run(1);
    const { flops, bytes } = meter;
    const limit = item.limit && limitOf(item.limit, on.device.kind, { flops, bytes, elements: item.elements ?? 0 });
    return { item, on, meter, flops, bytes, timed, limit: limit && { limit, timed: await timedOp(meter, limit.op, limit.params) } };
  } catch (error) {
    if (!meter.missing) throw error;
    return { item, on, meter, flops: 0, bytes: 0, timed: undefined, limit: undefined };
  }
}

function keyOf({ item: { op, shape }, on: { device, threads } }: Entry): Pick<BenchRow, "op" | "device" | "build" | "threads" | "shape"> {
  return { op, device: device.kind, build: device.build, threads, shape };
}

/** Six digits: far beyond what the clock tells, short in a file. */
function short(value: number | undefined): number | undefined {
  return value && Number(value.toPrecision(6));
}

function rowOf(entry: Entry, { median, p10, p90, rounds }: Spread, limitSpread: Spread | undefined): BenchRow {
  const { item, flops, bytes, limit } = entry;
  const giga = (amount: number | undefined): number | undefined => (amount ? short(amount / 1e6 / median) : undefined);
  return {
    ...keyOf(entry), medianMs: short(median), p10Ms: short(p10), p90Ms: short(p90), rounds,
    gelemPerS: giga(item.elements), gbPerS: giga(bytes), gflopPerS: giga(flops), tokensPerSecond: item.tokens && short((1000 * item.tokens) / median),
    limit: item.limit, percentOfLimit: limit && limitSpread && short(percentOfLimit(median, limitSpread.median, limit.limit)),
  };
}
