import { ShapeError } from "../errors.ts";
import { memoryFolder } from "./memory.ts";
import type { RunFolder } from "./run-folder.ts";
import type { SourceFolder } from "./types.ts";

type Files = ReadonlyMap<string, Uint8Array | string>;

/** A training run's output in memory: for runtimes without a file system. */
export class MemoryRun implements RunFolder {
  readonly name: string;
  /** The adapter's files, once the run has ended. */
  result: Files = new Map();
  /** By step. */
  readonly checkpoints = new Map<number, Files>();

  constructor(name = "run") {
    this.name = name;
  }

  async saveCheckpoint(step: number, files: Files): Promise<string> {
    this.checkpoints.set(step, new Map(files));
    return `${this.name}/checkpoint-${step}`;
  }

  async saveResult(files: Files): Promise<void> {
    this.result = new Map(files);
  }

  /** The adapter, or a checkpoint to resume from. @throws ShapeError when there is none. */
  source(step?: number): SourceFolder {
    const files = step === undefined ? this.result : this.checkpoints.get(step);
    if (!files?.size) throw new ShapeError(this.name, step === undefined ? "result" : `checkpoint ${step}`, { expected: "a run that came so far", got: `checkpoints of the steps ${[...this.checkpoints.keys()].join(", ") || "(none)"}` });
    return memoryFolder(step === undefined ? this.name : `${this.name}/checkpoint-${step}`, files);
  }
}
