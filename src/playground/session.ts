import type { DeviceMemory } from "../device.ts";
import type { PagingStats } from "../pager/pager.ts";

/** What the form says. Bytes are MB = 10^6, as people type them. */
export interface Settings {
  readonly r: number;
  readonly loraAlpha: number;
  readonly learningRate: number;
  readonly steps: number;
  readonly batch: number;
  readonly length: number;
  readonly device: "wasm" | "webgpu";
  /** The most memory of the device, for everything; layers that do not fit are paged. Undefined: as much as it needs. */
  readonly megabytes: number | undefined;
  readonly prompt: string;
}

export const DEFAULT_SETTINGS: Settings = {
  r: 16, loraAlpha: 16, learningRate: 5e-3, steps: 120, batch: 8, length: 128, device: "wasm", megabytes: undefined, prompt: "Alice was",
};

/** The demo is so small that it learns little at the rate that is usual for QLoRA. */
export function suggestedRate(parameters: number): number {
  return parameters < 2e7 ? DEFAULT_SETTINGS.learningRate : 2e-4;
}

export interface ModelFacts {
  readonly name: string;
  readonly parameters: number;
  readonly bytesBefore: number;
  readonly bytes: number;
  readonly bitsPerParameter: number;
  readonly context: number;
  readonly chat: boolean;
}

export interface DataFacts {
  readonly name: string;
  readonly bytes: number;
}

export interface Measured {
  /** On rows that are never trained on, in nats a token. */
  readonly loss: number;
  readonly sample: string;
}

export interface RunFacts {
  readonly status: "running" | "paused" | "done";
  readonly settings: Settings;
  readonly before: Measured;
  readonly after?: Measured;
  readonly step: number;
  readonly points: readonly Point[];
}

/** Step and loss. */
export type Point = readonly [number, number];

/** All that survives a reload beside the files. */
export interface SessionState {
  readonly version: 2;
  readonly model?: ModelFacts;
  readonly data?: DataFacts;
  readonly settings: Settings;
  readonly run?: RunFacts;
}

export function parseSession(json: string | undefined): SessionState {
  const fresh: SessionState = { version: 2, settings: DEFAULT_SETTINGS };
  if (json === undefined) return fresh;
  try {
    const state = JSON.parse(json) as SessionState;
    return state.version === 2 ? { ...fresh, ...state, settings: { ...DEFAULT_SETTINGS, ...state.settings } } : fresh;
  } catch {
    return fresh; // cut short by a crash long ago: the files are still there to be chosen again
  }
}

/** What the engine tells while a call runs. */
export type EngineEvent =
  | { readonly type: "progress"; readonly what: string; readonly done: number; readonly total: number }
  | { readonly type: "piece"; readonly text: string }
  | { readonly type: "measured"; readonly when: "before" | "after"; readonly measured: Measured }
  | { readonly type: "step"; readonly point: Point; readonly steps: number; readonly tokensPerSecond: number; readonly memory: Pick<DeviceMemory, "live" | "peak" | "limit">; readonly paging: PagingStats | undefined };

export type Listener = (event: EngineEvent) => void;

/** What the page shows when it opens. */
export interface Opened {
  readonly state: SessionState;
  /** Undefined when there is none that works: then `trouble` says why. */
  readonly device: string | undefined;
  readonly trouble: string | undefined;
  readonly gpu: string | undefined;
  readonly notice: string | undefined;
}
