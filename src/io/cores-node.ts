import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { dirname, join } from "node:path";

export interface Cores {
  /** In the machine. */
  readonly machine: number;
  /** That the scheduler lets this process run on. */
  readonly affinity: number;
  /** CPU time a cgroup grants, in cores; undefined without a limit. */
  readonly quota: number | undefined;
  /** Threads that can really run at once. */
  readonly usable: number;
}

export function countCores(): Cores {
  const machine = cpus().length;
  const affinity = availableParallelism();
  const quota = cgroupQuota();
  return { machine: Math.max(machine, affinity), affinity, quota, usable: Math.max(1, Math.min(affinity, Math.floor(quota ?? affinity))) };
}

/** Containers and batch systems limit CPU time, which no count of cores shows. */
function cgroupQuota(): number | undefined {
  const quotas = [...versionTwo(), versionOne()].filter((quota) => quota !== undefined);
  return quotas.length ? Math.min(...quotas) : undefined;
}

/** Limits of every group from ours up to the root. */
function* versionTwo(): Generator<number | undefined> {
  const path = /^0::(.*)$/m.exec(read("/proc/self/cgroup"))?.[1];
  if (path === undefined) return;
  for (let group = path; ; group = dirname(group)) {
    const [quota, period] = read(join("/sys/fs/cgroup", group, "cpu.max")).split(/\s+/).map(Number);
    yield quota > 0 && period > 0 ? quota / period : undefined;
    if (group === "/" || group === ".") return;
  }
}

function versionOne(): number | undefined {
  const quota = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") || NaN);
  const period = Number(read("/sys/fs/cgroup/cpu/cpu.cfs_period_us") || NaN);
  return quota > 0 && period > 0 ? quota / period : undefined;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}
