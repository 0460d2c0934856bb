import type { Variant } from "../op.ts";
import { Commands } from "./commands.ts";
import { Faults } from "./faults.ts";
import { GpuMemory, type GpuBuffer } from "./memory.ts";
import { Pipelines } from "./pipelines.ts";
import { Readback } from "./readback.ts";
import { Split } from "./split.ts";
import { Staging } from "./staging.ts";
import { Stopwatch } from "./stopwatch.ts";

export const PARAM_BYTES = 128; // 32 scalars

/** Everything that ends with one GPUDevice. A device that is revived begins another. */
export class GpuLife {
  readonly gpu: GPUDevice;
  readonly faults: Faults;
  readonly memory: GpuMemory;
  readonly pipelines: Pipelines;
  readonly commands: Commands;
  readonly readback: Readback;
  readonly staging: Staging;
  readonly split: Split;
  readonly stopwatch: Stopwatch;
  scratch: GpuBuffer | undefined;

  constructor(gpu: GPUDevice, name: string, limit: number, variants: readonly Variant[]) {
    this.gpu = gpu;
    this.faults = new Faults(gpu, name);
    this.memory = new GpuMemory(gpu, this.faults, limit);
    this.pipelines = new Pipelines(gpu, this.faults, PARAM_BYTES, variants);
    this.commands = new Commands(gpu, this.memory, this.faults, PARAM_BYTES);
    this.readback = new Readback(gpu, this.memory, this.commands, this.faults);
    this.staging = new Staging(this.memory, this.commands, gpu.limits);
    this.split = new Split(this.memory, this.commands, this.staging.largest);
    this.stopwatch = new Stopwatch(gpu, this.memory, this.commands, this.readback);
  }

  async finish(): Promise<void> {
    this.commands.flush();
    try {
      await this.gpu.queue.onSubmittedWorkDone();
    } catch (cause) {
      throw await this.faults.explain(cause);
    }
    await this.faults.settle();
  }

  async end(): Promise<void> {
    this.faults.close();
    this.commands.flush();
    await this.gpu.queue.onSubmittedWorkDone().catch(() => undefined); // a lost device does nothing any more
    this.memory.freeAll();
    this.gpu.destroy();
  }
}
