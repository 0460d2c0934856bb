import { bench, type BenchOptions, type BenchResult } from "../commands/bench/bench.ts";
import type { BenchDevice } from "../commands/bench/measure.ts";
import { compareRows, readReport, type Comparison, type EarlierReport } from "../commands/bench/report.ts";
import { SUITE_NAMES, SUITES, type SuiteName } from "../commands/bench/suites.ts";
import { ShapeError } from "../errors.ts";
import { planThreads } from "../io/threads-node.ts";
import { benchTable, comparisonTable, limitsTable } from "./bench-report.ts";
import { reportPaging } from "./bench-paging.ts";
import { cliCommand } from "./command.ts";
import { openDevice } from "./device.ts";
import { machineFacts } from "./doctor-facts.ts";
import { plural } from "./format.ts";
import { snakeCased } from "./json.ts";
import { checkWritable, readFileBytes, replaceFile } from "./files.ts";
import { benchNeighbours } from "./neighbours/command.ts";
import { nearest } from "./nearest.ts";
import type { Values } from "./options.ts";
import type { Output } from "./output.ts";
import type { Session } from "./session.ts";
import { DEMO, openModelSource } from "./sources.ts";

// A device that holds back, as with --polite, would be measured holding back.
const FLAGS = ["model", "device", "threads", "relaxed-simd", "size", "compare", "json"] as const;

/** A report of their own each; minutes, so not part of `all`. */
const REPORTS = {
  paging: "steps of QLoRA under smaller and smaller budgets, beside all of the base on the device",
  neighbours: "what busy programs beside us keep of the CPU, and what we get",
} as const;
type ReportName = keyof typeof REPORTS;

const NAMES: readonly string[] = [...SUITE_NAMES, "all", ...Object.keys(REPORTS)];
const NO_SUCH_DEVICE = 3;

const DIFFERS = {
  threads: { kind: "threadCounts", hint: "N,N", default: 1, help: "numbers of threads to measure, in turns; auto leaves one core free" },
  json: { kind: "optional", hint: "[FILE]", help: "keep the report as JSON in FILE; without FILE, JSON lines on stdout and all else on stderr" },
  model: { default: DEMO, help: "for train, generate and paging: a model folder, a .gguf file, or demo" },
} as const;

export const command = cliCommand({
  name: "bench",
  positional: { name: NAMES.join("|"), help: [...SUITE_NAMES.map((name) => `${name}: ${SUITES[name].summary}`), "all: all of these", ...Object.entries(REPORTS).map(([name, summary]) => `${name}: ${summary}`)].join("; "), required: true },
  flags: FLAGS,
  differs: DIFFERS,
  examples: ["nibblelm bench quantize", "nibblelm bench matmul --threads 1,2 --size 512x1536x576", "nibblelm bench paging --device webgpu --size 2x1x128,4x1x128", "nibblelm bench all --json before.json", "nibblelm bench all --compare before.json"],
}, async (values, session) => {
  const { output, signal } = session;
  const file = values.json || undefined;
  output.json = values.json === "";
  const what = benchName(values.argument!);
  if (what in REPORTS) {
    if (file !== undefined) await checkWritable(file);
    const machine = snakeCased(machineFacts()) as object;
    const report = { machine, date: new Date().toISOString(), ...(snakeCased(await reportOf(what as ReportName, values, session)) as object) };
    output.object({ event: "result", ...report });
    if (file !== undefined) await replaceFile(file, `${JSON.stringify(report, undefined, 1)}\n`);
    return 0;
  }
  const earlier = values.compare === undefined ? undefined : readReport(await readFileBytes(values.compare), values.compare);
  if (file !== undefined) await checkWritable(file);
  const devices: Devices = { measured: [], others: [] };
  try {
    const model = await openModelSource(values.model ?? DEMO, session);
    await openDevices(values, output, devices);
    const facts = machineFacts();
    const about = `${facts.cpu.model}, ${plural(facts.cpu.cores, "core")}, ${facts.runtime}, ${facts.platform}, nibblelm ${facts.version}`;
    const bar = output.progress("bench");
    const options: BenchOptions = {
      what: what as SuiteName | "all", model, devices: devices.measured, peaks: devices.others, sizes: values.size, memory: memoryBudget(facts.memory), signal,
      onCase: (row) => output.object({ event: "case", ...(snakeCased(row) as object) }),
      onProgress: (done, total, next) => (done ? bar.update(done, total, [next]) : output.note(about)),
    };
    const result = await bench(options);
    output.endProgress();
    const comparison = earlier && compareRows(earlier.rows, result.cases);
    const report = { machine: snakeCased(facts) as object, date: new Date().toISOString(), ...(snakeCased({ ...result, comparison }) as object) };
    print(result, comparison, earlier, (line) => output.line(line));
    output.object({ event: "result", ...report });
    if (file !== undefined) await replaceFile(file, `${JSON.stringify(report, undefined, 1)}\n`);
    return result.cases.some((row) => row.missing === undefined) ? 0 : NO_SUCH_DEVICE;
  } finally {
    for (const { device } of [...devices.measured, ...devices.others]) await device.dispose();
  }
});

function benchName(name: string): SuiteName | "all" | ReportName {
  if (NAMES.includes(name)) return name as SuiteName | "all" | ReportName;
  const near = nearest(name, NAMES);
  throw new ShapeError("bench", name, { expected: NAMES.join(", "), got: JSON.stringify(name), ...(near ? { hint: `did you mean nibblelm bench ${near}?` } : {}) });
}

/** These compute on one number of threads: one for paging, all for neighbours where none is given. */
function reportOf(name: ReportName, { model = DEMO, device = "auto", threads: counts, relaxedSimd, size, compare }: BenchValues, session: Session): Promise<{ readonly cases: readonly object[] }> {
  if (compare !== undefined) throw new ShapeError(`bench ${name}`, "compare", { expected: "none: what it measures is beside one another already", got: compare });
  if (size && name === "neighbours") throw new ShapeError("bench neighbours", "size", { expected: "none", got: size.join(",") });
  if (counts && counts.length > 1) throw new ShapeError(`bench ${name}`, "threads", { expected: "one number", got: counts.join(",") });
  const threads = counts && planThreads({ threads: counts[0] }).threads;
  if (name === "neighbours") return benchNeighbours(threads, session);
  return reportPaging({ model, device: counts ? "wasm" : device, threads: threads ?? 1, relaxedSimd, size }, session);
}

type BenchValues = Values<(typeof FLAGS)[number], typeof DIFFERS>;
type DeviceValues = Pick<BenchValues, "device" | "threads" | "relaxedSimd">;

interface Devices {
  /** One for each number of threads. */
  readonly measured: BenchDevice[];
  /** One thread of the other build, to show its peak. */
  readonly others: BenchDevice[];
}

/** Opens into `devices`, so that its caller can close what was opened when this fails half-way. Threads are the CPU's. */
async function openDevices(values: DeviceValues, output: Output, { measured, others }: Devices): Promise<void> {
  const [first, ...rest] = new Set((values.threads ?? [1]).map((n) => planThreads({ threads: n }).threads));
  const kind = values.device ?? (values.threads || values.relaxedSimd !== undefined ? "wasm" : "auto");
  const open = async (threads: number, device: typeof kind, relaxedSimd = values.relaxedSimd): Promise<BenchDevice> => ({ device: await openDevice({ device, threads, relaxedSimd }, output), threads });
  const opened = await open(first, kind);
  if (opened.device.kind === "webgpu") return void measured.push({ ...opened, threads: 1 });
  measured.push(opened);
  for (const threads of rest) measured.push(await open(threads, "wasm"));
  const other = await open(1, "wasm", values.relaxedSimd === false);
  if (other.device.build === opened.device.build) await other.device.dispose(); // the engine has one build only
  else others.push(other);
}

/** What is measured and its copies on the host may take half of what is free. */
function memoryBudget({ free, limit }: { readonly free: number; readonly limit: number | undefined }): number {
  return Math.min(free, limit ?? Infinity) / 2;
}

function print(result: BenchResult, comparison: readonly Comparison[] | undefined, earlier: EarlierReport | undefined, line: (text: string) => void): void {
  for (const row of limitsTable(result.limits)) line(row);
  line("");
  for (const row of benchTable(result.cases)) line(row);
  if (!comparison || !earlier) return;
  line("");
  for (const row of comparisonTable(comparison)) line(row);
  if (!comparison.length) line("the earlier report has none of these cases: same sizes, threads, device and build?");
}
