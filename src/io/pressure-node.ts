import { readdirSync, readFileSync } from "node:fs";
import { cpus } from "node:os";
import type { Pressure } from "../wasm/pace.ts";

export interface Counters {
  /** Seconds of CPU that this process used. */
  readonly ours: number;
  /** Seconds that its threads waited for one; undefined where the system does not tell. */
  readonly waited: number | undefined;
  /** Seconds of CPU that anyone used, of `cores` × wall time. */
  readonly busy: number;
  readonly all: number;
  readonly cores: number;
}

const IDLE_SECONDS = 0.005; // of work in an interval: below, there is nothing to tell from

/** What others left of the CPU since the last call; undefined while we did not want any. */
export function pressureMeter(count: () => Counters = readCounters): () => Pressure | undefined {
  let before = count();
  return () => {
    const now = count();
    const ours = now.ours - before.ours;
    const waited = now.waited === undefined || before.waited === undefined ? undefined : now.waited - before.waited;
    const wall = (now.all - before.all) / now.cores;
    const busy = now.busy - before.busy;
    before = now;
    if (!(wall > 0) || ours + (waited ?? 0) < IDLE_SECONDS) return undefined;
    const others = Math.max(0, busy - ours) / wall;
    const waiting = waited === undefined ? crowded(others, now.cores - busy / wall) : waited / (waited + ours);
    return { waiting, room: Math.max(0, now.cores - others) };
  };
}

/** Without the kernel's word: a machine that is full, and others have more than a quarter of a core. BOINC's rule. */
function crowded(others: number, idle: number): number {
  return others > 0.25 && idle < 0.05 ? 1 : 0;
}

function readCounters(): Counters {
  const cores = cpus();
  let idle = 0, all = 0;
  for (const { times } of cores) {
    idle += times.idle / 1000;
    all += (times.user + times.nice + times.sys + times.idle + times.irq) / 1000;
  }
  const { user, system } = process.cpuUsage();
  return { ours: (user + system) / 1e6, waited: runDelay(), busy: all - idle, all, cores: cores.length };
}

/** Seconds that all threads of this process were ready to run and did not: `/proc/self/schedstat` has the main one only. */
function runDelay(): number | undefined {
  try {
    let nanoseconds = 0;
    for (const task of readdirSync("/proc/self/task")) nanoseconds += Number(readFileSync(`/proc/self/task/${task}/schedstat`, "utf8").split(" ")[1]);
    return nanoseconds / 1e9;
  } catch {
    return undefined; // no Linux, or a thread ended while we looked
  }
}
