import type { PagingStats } from "../pager/pager.ts";
import { bytesText } from "./format.ts";

export function movedBytes({ bytesUp, bytesDown }: PagingStats): number {
  return bytesUp + bytesDown;
}

/** `gpu 61.0 MB of 64.0 MB · 12 of 30 layers, 9 of 64 slices of the head resident · 66.0 MB/step paged`, both ways counted */
export function pagingLine(stats: PagingStats, bytesOfStep: number): string {
  const { device, deviceBytes, deviceLimit, resident, pages, residentLayers, layers } = stats;
  const slices = pages > layers ? `, ${resident - residentLayers} of ${pages - layers} slices of the head` : "";
  const limit = deviceLimit === Infinity ? "" : ` of ${bytesText(deviceLimit)}`;
  return `${device === "webgpu" ? "gpu" : "memory"} ${bytesText(deviceBytes)}${limit} · ${pages ? `${residentLayers} of ${layers} layers${slices} resident · ` : ""}${bytesText(bytesOfStep)}/step paged`;
}

/** The counters for `--json`; null without paging. */
export function pagingObject(stats: PagingStats | undefined): Record<string, unknown> | null {
  if (!stats) return null;
  const finite = (bytes: number): number | null => (bytes === Infinity ? null : bytes);
  return {
    pages: stats.pages, resident: stats.resident, layers: stats.layers, resident_layers: stats.residentLayers, micro_batches_together: stats.microBatchesTogether, frames: stats.frames, frame_bytes: stats.frameBytes, loads: stats.loads,
    bytes_up: stats.bytesUp, bytes_down: stats.bytesDown, activation_bytes: stats.activationBytes, optimizer_bytes: stats.optimizerBytes, spilled_bytes: stats.spilledBytes, bytes_read: stats.bytesRead, stalls: stats.stalls, stall_seconds: stats.stallSeconds,
    device_bytes: stats.deviceBytes, device_limit: finite(stats.deviceLimit), peak_frame_bytes: stats.peakFrameBytes, peak_host_bytes: stats.peakHostBytes,
  };
}
