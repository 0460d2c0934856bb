import type { Device } from "../device.ts";
import type { HostTier } from "./host-tier.ts";
import type { Pager, PagingStats } from "./pager.ts";

/** Bytes copied to the device, and from it. */
export interface CopyStats {
  readonly bytesUp: number;
  readonly bytesDown: number;
}

/** What moved in a run: pages of the base, and what the device wrote. Undefined when nothing is paged. */
export function pagingStats(device: Device, pager: Pager | undefined, tier: HostTier, activations: CopyStats | undefined, optimizer: CopyStats | undefined): PagingStats | undefined {
  if (!pager && !activations && !optimizer) return undefined;
  const base = pager?.stats ?? nothingPaged(device);
  const sum = (way: keyof CopyStats): number => base[way] + (activations?.[way] ?? 0) + (optimizer?.[way] ?? 0);
  return {
    ...base, bytesUp: sum("bytesUp"), bytesDown: sum("bytesDown"), activationBytes: activations?.bytesDown ?? 0, optimizerBytes: optimizer?.bytesDown ?? 0,
    peakHostBytes: base.peakHostBytes + tier.hostBytes, spilledBytes: tier.fileBytes,
  };
}

function nothingPaged(device: Device): PagingStats {
  const { live: deviceBytes, limit: deviceLimit } = device.memory;
  return {
    device: device.kind, deviceBytes, deviceLimit, pages: 0, resident: 0, layers: 0, residentLayers: 0, microBatchesTogether: 1, frames: 0, frameBytes: 0, peakFrameBytes: 0, peakHostBytes: 0,
    loads: 0, bytesUp: 0, bytesDown: 0, activationBytes: 0, optimizerBytes: 0, spilledBytes: 0, bytesRead: 0, stalls: 0, stallSeconds: 0,
  };
}
