import type { BenchRow, Comparison, RowKey } from "../commands/bench/report.ts";
import { countText, plural, table } from "./format.ts";

// Tables of at most 100 columns.

/** What the machine can do at most: a line for each device. */
export function limitsTable(rows: readonly BenchRow[]): string[] {
  const lines = new Map<string, { name: string[]; facts: string[] }>();
  for (const row of rows) {
    const name = [row.device, row.build, plural(row.threads, "thread")];
    const line = lines.get(name.join()) ?? { name, facts: [] };
    lines.set(name.join(), line);
    line.facts.push(row.op === "multiply-add" ? `${row.op} ${rate(row.gflopPerS, "GFLOP/s")}` : `${row.op} ${row.shape} ${rate(row.gbPerS, "GB/s")}`);
  }
  return table([...lines.values()].flatMap(({ name, facts: [peak, ...moves] }) => [
    [name.join(" "), [peak, ...moves.slice(0, 2)].join(", ")],
    ...(moves.length > 2 ? [["", moves.slice(2).join(", ")]] : []),
  ]));
}

/** Three digits that count, never more places than a tenth of a percent needs. */
function rate(value: number | undefined, unit: string): string {
  if (value === undefined) return "";
  return `${value >= 100 ? value.toFixed(0) : value.toPrecision(3)} ${unit}`;
}

function milliseconds(value: number): string {
  return `${value >= 1000 ? countText(value) : value.toPrecision(3)} ms`;
}

/** In the unit that says most about the case. */
function speed(row: BenchRow): string {
  if (row.tokensPerSecond !== undefined) return `${row.tokensPerSecond >= 100 ? countText(row.tokensPerSecond) : row.tokensPerSecond.toFixed(1)} tokens/s`;
  if (row.gelemPerS !== undefined) return rate(row.gelemPerS, "Gelem/s");
  return row.limit === "copy" ? rate(row.gbPerS, "GB/s") : rate(row.gflopPerS, "GFLOP/s");
}

const half = (low: number, high: number, middle: number): string => `±${((50 * (high - low)) / middle).toFixed(0)} %`;

export function benchTable(rows: readonly BenchRow[]): string[] {
  const head = ["case", "size", "threads", "median", "spread", "speed", "of the limit", "over 1 thread"];
  const scaled = rows.some((row) => row.threads > 1);
  const body = rows.map((row) => {
    const { op, shape, threads, missing, medianMs, p10Ms, p90Ms, percentOfLimit, limit } = row;
    if (missing !== undefined || medianMs === undefined) return [op, shape, String(threads), "", "", "", missing ?? "", ""];
    const part = percentOfLimit === undefined ? "" : `${percentOfLimit.toFixed(0)} % of ${limit}`;
    return [op, shape, String(threads), milliseconds(medianMs), half(p10Ms!, p90Ms!, medianMs), speed(row), part, overOne(row, rows)];
  });
  return table([head, ...body].map((row) => (scaled ? row : row.slice(0, -1))), [2, 3, 4, 5]);
}

function overOne(row: BenchRow, rows: readonly BenchRow[]): string {
  const one = rows.find((other) => other.threads === 1 && other.op === row.op && other.shape === row.shape);
  return row.threads === 1 || !one?.medianMs ? "" : `${(one.medianMs / row.medianMs!).toFixed(2)} ×`;
}

export function comparisonTable(rows: readonly Comparison[]): string[] {
  const key = ({ op, shape, threads }: RowKey): string[] => [op, shape, String(threads)];
  const body = rows.map((row) => {
    const { speedup, low, high, verdict } = row.ratio;
    return [...key(row), milliseconds(row.before), milliseconds(row.after), `${speedup.toFixed(2)} ×`, `${low.toFixed(2)} … ${high.toFixed(2)}`, verdict];
  });
  return table([["case", "size", "threads", "before", "now", "speed-up", "at worst, best", ""], ...body], [2, 3, 4, 5]);
}
