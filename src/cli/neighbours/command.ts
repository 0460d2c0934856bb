import { countCores } from "../../io/cores-node.ts";
import { NodePace } from "../../io/pace-node.ts";
import { planThreads } from "../../io/threads-node.ts";
import { kernels } from "#kernels";
import { WasmDevice } from "../../wasm/device.ts";
import { allowRelaxedSimd } from "../device.ts";
import { machineFacts } from "../doctor-facts.ts";
import { plural, table } from "../format.ts";
import { snakeCased } from "../json.ts";
import type { Session } from "../session.ts";
import { DEMO, openModelSource } from "../sources.ts";
import { measureNeighbours, type Mode } from "./measure.ts";
import { spinningWorkers } from "./spinning-workers.ts";
import { BOUNDS, neighbourRows, type NeighbourRow } from "./verdict.ts";

const ROUNDS = 5;

/** `nibblelm bench neighbours`: what others keep of the CPU beside us, and what we get. */
export async function benchNeighbours(threads: number | undefined, session: Session): Promise<{ readonly cases: readonly (NeighbourRow & { readonly op: string })[] }> {
  const { output, signal } = session;
  allowRelaxedSimd();
  const { usable } = countCores();
  const facts = machineFacts();
  const count = threads ?? usable;
  output.note(`${facts.cpu.model}, ${plural(facts.cpu.cores, "core")}; training of the demo on ${plural(count, "thread")} beside 0 to ${2 * usable} busy loops, about three minutes`);
  const bar = output.progress("bench");
  const readings = await measureNeighbours({
    modes: count > 1 ? ["fair", "polite", "spinning"] : ["fair", "polite"], // one thread has nobody to spin for
    loads: [0, 1, usable, 2 * usable].filter((load, i, all) => all.indexOf(load) === i),
    rounds: ROUNDS, model: await openModelSource(DEMO, session), signal,
    open: (mode) => openMode(mode, count),
    onProgress: (done, total, what) => (done ? bar.update(done, total, [what]) : undefined),
  });
  output.endProgress();
  const rows = neighbourRows(readings, usable);
  for (const line of neighbourTable(rows)) output.line(line);
  const cases = rows.map((row) => ({ op: "neighbours", ...row }));
  for (const row of cases) output.object({ event: "case", ...(snakeCased(row) as object) });
  return { cases };
}

function openMode(mode: Mode, threads: number): Promise<WasmDevice> {
  const { workers } = planThreads({ threads, polite: mode === "polite" });
  // Even one thread is a worker, as in the polite device: what is compared is the policy.
  const pace = new NodePace({ polite: mode === "polite", most: threads });
  return WasmDevice.create({ wasm: kernels, threads, workers: mode === "spinning" ? spinningWorkers() : workers, pace });
}

export function neighbourTable(rows: readonly NeighbourRow[]): string[] {
  const percent = (part: number | undefined): string => (part === undefined ? "" : `${(100 * part).toFixed(0)} %`);
  const head = ["mode", "busy loops", "step", "slowdown", "fair share", "penalty", "CPU a step", "work a CPU s", "in registers", "neighbour keeps", ""];
  const body = rows.map(({ mode, loops, medianMs, slowdown, fairShare, penalty, cpuMs, efficiency, controlEfficiency, neighbour, misses }) => [
    mode, String(loops), `${medianMs.toFixed(0)} ms`, `${slowdown.toFixed(2)} ×`, `${fairShare.toFixed(2)} ×`, mode === "polite" ? "" : penalty.toFixed(2), `${cpuMs.toFixed(0)} ms`, percent(efficiency), percent(controlEfficiency), percent(neighbour), misses.length ? `misses ${misses.join(", ")}` : "ok",
  ]);
  return [
    ...table([head, ...body], [1, 2, 3, 4, 5, 6, 7, 8, 9]), "",
    `Bounds: penalty at most ${BOUNDS.penalty}; beside a polite device a neighbour keeps at least ${percent(BOUNDS.neighbour)}; work a CPU second at least ${percent(BOUNDS.efficiency)} of that on the idle machine.`,
    "In registers: the same of multiply-adds that touch no memory, on the same threads. What this loses too, the machine takes.",
    "spinning is not a mode of the engine: it waits as engines must not, and has to miss a bound.",
  ];
}
