import type { PagingStats } from "../../pager/pager.ts";
import type { BenchRow } from "./report.ts";
import { spreadOf } from "./statistics.ts";

interface Timing {
  readonly ms: number;
  /** Seconds of processor time, of the whole process. */
  readonly cpu: number;
}

/** What took turns once: a step without paging, a step with it, and its copies alone; counters around the second. */
export interface Round {
  readonly alone: Timing;
  /** What the paged step computes, without paging: more than `alone` where activations are recomputed. */
  readonly compute: Timing;
  readonly step: Timing;
  readonly copies: Timing & { readonly bytes: number };
  readonly before: PagingStats;
  readonly after: PagingStats;
}

/** A budget, or no paging. What does not apply is undefined. */
export interface PagingRow extends BenchRow {
  readonly frames: number;
  readonly pages: number;
  /** Bytes of device memory for the whole run. */
  readonly deviceBytes: number;
  /** Seconds of processor time of a step. */
  readonly cpuSeconds: number;
  /** Of one step, as the following. */
  readonly loads?: number;
  readonly bytesUp?: number;
  readonly bytesDown?: number;
  /** Bytes read from files. */
  readonly bytesRead?: number;
  readonly stalls?: number;
  readonly stallSeconds?: number;
  /** Of the copies alone; undefined where nothing was copied. */
  readonly uploadGbPerS?: number | undefined;
  /** What the step computes, without paging and beside it, and the bytes of both ways at that speed. */
  readonly boundMs?: number;
  /** Step over bound: at most 1.15 is the aim. */
  readonly overBound?: number;
  /** Step over the unpaged step beside it. */
  readonly slowdown?: number;
  /** Part of the time of the copies that the step hid, 0 to 1; undefined where nothing was copied. */
  readonly overlap?: number | undefined;
}

export type PagingFacts = Pick<PagingRow, "device" | "build" | "threads" | "shape" | "pages" | "frames" | "deviceBytes"> & { readonly tokens: number };

export function unpagedRow(facts: PagingFacts, rounds: readonly Round[]): PagingRow {
  return rowOf("train", facts, rounds.map(({ alone }) => alone));
}

/** Ratios are taken within a round, whose parts had the same machine. */
export function pagedRow(facts: PagingFacts, rounds: readonly Round[]): PagingRow {
  const of = (value: (round: Round) => number): number => spreadOf(rounds.map(value)).median;
  const counted = (name: "loads" | "bytesUp" | "bytesDown" | "bytesRead" | "stalls" | "stallSeconds"): number => of(({ before, after }) => after[name] - before[name]);
  const copied = counted("bytesUp") > 0;
  const moved = ({ bytesUp, bytesDown }: PagingStats): number => bytesUp + bytesDown;
  const bound = ({ compute, copies, before, after }: Round): number => compute.ms + (copied ? ((moved(after) - moved(before)) * copies.ms) / copies.bytes : 0);
  return {
    ...rowOf("train-paged", facts, rounds.map(({ step }) => step)),
    loads: counted("loads"), bytesUp: counted("bytesUp"), bytesDown: counted("bytesDown"), bytesRead: counted("bytesRead"), stalls: counted("stalls"), stallSeconds: counted("stallSeconds"),
    uploadGbPerS: copied ? of(({ copies }) => copies.bytes / 1e6 / copies.ms) : undefined,
    boundMs: of(bound), overBound: of((round) => round.step.ms / bound(round)), slowdown: of(({ step, alone }) => step.ms / alone.ms),
    overlap: copied ? of((round) => Math.min(1, Math.max(0, (bound(round) - round.step.ms) / (bound(round) - round.compute.ms)))) : undefined,
  };
}

function rowOf(op: string, { tokens, ...facts }: PagingFacts, timings: readonly Timing[]): PagingRow {
  const { median, p10, p90, rounds } = spreadOf(timings.map(({ ms }) => ms));
  return { op, ...facts, medianMs: median, p10Ms: p10, p90Ms: p90, rounds, tokensPerSecond: (1000 * tokens) / median, cpuSeconds: spreadOf(timings.map(({ cpu }) => cpu)).median };
}
