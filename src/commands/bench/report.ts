import { FormatError } from "../../errors.ts";
import { parseJsonObject } from "../../format/json-object.ts";
import { ratioOf, type Ratio, type Spread } from "./statistics.ts";

/** What tells one measurement from another. */
export interface RowKey {
  readonly op: string;
  /** `wasm` or `webgpu` */
  readonly device: string;
  /** `simd`, `relaxed` or a shader variant */
  readonly build: string;
  readonly threads: number;
  readonly shape: string;
}

/** A line of the report. What does not apply is undefined, in JSON null. */
export interface BenchRow extends RowKey {
  /** Why this could not be measured here; then there are no numbers. */
  readonly missing?: string;
  readonly medianMs?: number;
  readonly p10Ms?: number;
  readonly p90Ms?: number;
  readonly rounds?: number;
  readonly gelemPerS?: number;
  /** By the bytes that the contract says an op reads and writes, each once. */
  readonly gbPerS?: number;
  readonly gflopPerS?: number;
  readonly tokensPerSecond?: number;
  /** `multiply-add`, `copy` or `fill`: measured in turns with the case. */
  readonly limit?: string;
  readonly percentOfLimit?: number;
}

/** Times of a line in an earlier report. */
interface EarlierRow extends RowKey {
  readonly spread: Omit<Spread, "rounds">;
}

export interface Comparison extends RowKey {
  readonly before: number;
  readonly after: number;
  readonly ratio: Ratio;
}

const keyOf = ({ op, device, build, threads, shape }: RowKey): string => [op, device, build, threads, shape].join("\n");

/** The lines that both reports have, in the order of `after`. */
export function compareRows(before: readonly EarlierRow[], after: readonly BenchRow[]): Comparison[] {
  const earlier = new Map(before.map((row) => [keyOf(row), row.spread]));
  return after.flatMap((row): Comparison[] => {
    const spread = earlier.get(keyOf(row));
    const { op, device, build, threads, shape, medianMs, p10Ms, p90Ms } = row;
    if (!spread || medianMs === undefined || p10Ms === undefined || p90Ms === undefined) return [];
    const ratio = ratioOf(spread, { median: medianMs, p10: p10Ms, p90: p90Ms });
    return [{ op, device, build, threads, shape, before: spread.median, after: medianMs, ratio }];
  });
}

export interface EarlierReport {
  /** Its `machine`, as it was written. */
  readonly machine: Record<string, unknown>;
  readonly rows: readonly EarlierRow[];
}

/** @throws FormatError when this is no file of `nibblelm bench --json FILE`. */
export function readReport(text: string | Uint8Array, where: string): EarlierReport {
  const { machine, cases } = parseJsonObject(text, where);
  const hint = "name a file that nibblelm bench --json FILE wrote";
  if (typeof machine !== "object" || machine === null) throw new FormatError(where, "machine", { expected: "an object", got: JSON.stringify(machine), hint });
  if (!Array.isArray(cases)) throw new FormatError(where, "cases", { expected: "a list", got: JSON.stringify(cases), hint });
  return { machine: machine as Record<string, unknown>, rows: cases.flatMap((item: unknown, i) => readRow(item, `${where}: cases[${i}]`)) };
}

function readRow(item: unknown, where: string): EarlierRow[] {
  const row = (typeof item === "object" && item !== null ? item : {}) as Record<string, unknown>;
  const text = (name: string): string => {
    if (typeof row[name] !== "string") throw new FormatError(where, name, { expected: "a text", got: JSON.stringify(row[name]) });
    return row[name];
  };
  const positive = (name: string): number => {
    const value = row[name];
    if (typeof value !== "number" || !(value > 0)) throw new FormatError(where, name, { expected: "a number above 0", got: JSON.stringify(value) });
    return value;
  };
  const key = { op: text("op"), device: text("device"), build: text("build"), threads: positive("threads"), shape: text("shape") };
  if (typeof row["missing"] === "string") return [];
  return [{ ...key, spread: { median: positive("median_ms"), p10: positive("p10_ms"), p90: positive("p90_ms") } }];
}
