import type { SpillFile } from "./types.ts";

/**
 * Where a training run leaves its checkpoints and its result.
 * Each call makes its files appear whole or not at all.
 */
export interface RunFolder {
  readonly name: string;
  /** Writes the folder `checkpoint-N` under a temporary name, then renames it. */
  saveCheckpoint(step: number, files: ReadonlyMap<string, Uint8Array | string>): Promise<string>;
  /** Writes the result's files into the folder itself, each renamed into place. */
  saveResult(files: ReadonlyMap<string, Uint8Array | string>): Promise<void>;
  /** A file beside them for what does not fit into memory; left out where there is no such place. */
  openSpill?(): Promise<SpillFile>;
}
