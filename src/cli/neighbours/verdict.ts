import type { Reading } from "./measure.ts";

/** Bounds of a good neighbour; `nibblelm bench neighbours` and its documentation name them. */
export const BOUNDS = {
  /** Slowdown over the slowdown that a fair share of the cores would give. */
  penalty: 1.25,
  /** Of its speed that a neighbour keeps beside a polite device. */
  neighbour: 0.95,
  /** Work a CPU second, beside the same on the idle machine. */
  efficiency: 0.9,
} as const;

export interface NeighbourRow {
  readonly mode: Reading["mode"];
  readonly threads: number;
  readonly loops: number;
  readonly medianMs: number;
  readonly p10Ms: number;
  readonly p90Ms: number;
  readonly tokensPerSecond: number;
  readonly cpuMs: number;
  /** Wall time beside that of the same on the idle machine. */
  readonly slowdown: number;
  /** What it would be with a fair share: max(1, (threads + loops) / cores). */
  readonly fairShare: number;
  readonly penalty: number;
  /** Work a CPU second, beside that of the same mode on the idle machine. */
  readonly efficiency: number;
  /** The same of multiply-adds in registers. */
  readonly controlEfficiency: number;
  readonly neighbour: number | undefined;
  /** Bounds that it misses. */
  readonly misses: readonly string[];
}

/** Every reading beside the one of the same mode without a load. */
export function neighbourRows(readings: readonly Reading[], cores: number): NeighbourRow[] {
  return readings.map((reading) => {
    const { mode, threads, loops, tokens, wall, cpu, controlCpu, neighbour } = reading;
    const idle = readings.find((other) => other.mode === mode && other.loops === 0)!;
    const slowdown = wall.median / idle.wall.median;
    const fairShare = Math.max(1, (threads + loops) / cores);
    const penalty = slowdown / fairShare;
    const efficiency = idle.cpu / cpu;
    const misses: string[] = [];
    // A polite device promises nothing for itself, a fair one nothing but its share for others.
    if (mode !== "polite" && penalty > BOUNDS.penalty) misses.push("share");
    if (mode === "polite" && neighbour !== undefined && neighbour < BOUNDS.neighbour) misses.push("neighbour");
    if (efficiency < BOUNDS.efficiency) misses.push("efficiency");
    return { mode, threads, loops, medianMs: 1000 * wall.median, p10Ms: 1000 * wall.p10, p90Ms: 1000 * wall.p90, tokensPerSecond: tokens / wall.median, cpuMs: 1000 * cpu, slowdown, fairShare, penalty, efficiency, controlEfficiency: idle.controlCpu / controlCpu, neighbour, misses };
  });
}
