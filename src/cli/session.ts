import { basename, relative, sep } from "node:path";
import { shellWord } from "./format.ts";
import type { Output } from "./output.ts";

/** What a command knows of the call besides its values. */
export interface Session {
  readonly output: Output;
  /** Fires at the first Ctrl-C. */
  readonly signal: AbortSignal;
  /** The package's folder: the demo model lies in it. */
  readonly packageFolder: URL;
  /** The command line as it was typed, without the program, for telling how to go on. */
  readonly argv: readonly string[];
  /** How to call this program again from here: `nibblelm`, `npx nibblelm` or `node dist/cli.js`. */
  readonly self: string;
}

export function selfCall(script = process.argv[1] ?? ""): string {
  if (basename(script) !== "nibblelm") return `node ${shellWord(relative(process.cwd(), script))}`;
  return script.includes(`${sep}node_modules${sep}.bin${sep}`) ? "npx nibblelm" : "nibblelm";
}

/** The process's highest resident memory, in bytes. */
export function peakMemory(): number {
  return process.resourceUsage().maxRSS * 1024;
}

export const INTERRUPTED = 130;
