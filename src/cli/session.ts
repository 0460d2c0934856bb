import type { Output } from "./output.ts";

/** What a command knows of the call besides its values. */
export interface Session {
  readonly output: Output;
  /** Fires at the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** The package's folder: the demo model lies in it. */
  readonly packageFolder: URL;
  /** The command line as it was typed, for telling how to go on. */
  readonly argv: readonly string[];
}

/** The process's highest resident memory, in bytes. */
export function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}

export const INTERRUPTED = 130;
