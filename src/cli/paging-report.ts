import type { PagingStats } from "../pager/pager.ts";
import { bytesText } from "./format.ts";

/** `gpu 61.0 MB of 64.0 MB · 12 of 30 layers resident · 66.0 MB/step paged`, both ways counted */
export function pagingLine(stats: PagingStats, bytesOfStep: number): string {
  const { device, deviceBytes, deviceLimit, resident, pages } = stats;
  const limit = deviceLimit === Infinity ? "" : ` of ${bytesText(deviceLimit)}`;
  return `${device === "webgpu" ? "gpu" : "memory"} ${bytesText(deviceBytes)}${limit} · ${pages ? `${resident} of ${pages} layers resident · ` : ""}${bytesText(bytesOfStep)}/step paged`;
}

export function movedBytes({ bytesUp, bytesDown }: PagingStats): number {
  return bytesUp + bytesDown;
}

/** The counters for `--json`; null without paging. */
export function pagingObject(stats: PagingStats | undefined): Record<string, unknown> | null {
  if (!stats) return null;
  const finite = (bytes: number): number | null => (bytes === Infinity ? null : bytes);
  return {
    pages: stats.pages, resident: stats.resident, frames: stats.frames, frame_bytes: stats.frameBytes, loads: stats.loads,
    bytes_up: stats.bytesUp, bytes_down: stats.bytesDown, activation_bytes: stats.activationBytes, optimizer_bytes: stats.optimizerBytes, spilled_bytes: stats.spilledBytes, bytes_read: stats.bytesRead, stalls: stats.stalls, stall_seconds: stats.stallSeconds,
    device_bytes: stats.deviceBytes, device_limit: finite(stats.deviceLimit), peak_frame_bytes: stats.peakFrameBytes, peak_host_bytes: stats.peakHostBytes,
  };
}
