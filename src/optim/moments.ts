import type { Device } from "../device.ts";
import { fill } from "../ops/index.ts";
import type { CopyStats } from "../pager/paging-stats.ts";
import { readPieces } from "../pager/pieces.ts";
import type { Tensor } from "../tensor.ts";

/** torch's names of AdamW's two running means. */
export type Moment = "exp_avg" | "exp_avg_sq";

/** Updates the elements [begin, begin + n) of the parameters with their states, f32[n] each. */
export type MomentsUpdate = (begin: number, n: number, expAvg: Tensor, expAvgSq: Tensor) => void;

/** AdamW's states, two values for each of `length` parameters, 0 in the beginning: on the device or paged. */
export interface Moments {
  /** Bytes that were copied; undefined on the device. */
  readonly copied: CopyStats | undefined;
  /** To be awaited before frames of the base take the device's memory. */
  prepare(): Promise<void>;
  /** Queues the update of every element. */
  update(work: MomentsUpdate): Promise<void>;
  read(moment: Moment): Promise<Float32Array<ArrayBuffer>>;
  write(moment: Moment, values: Float32Array<ArrayBuffer>): Promise<void>;
  dispose(): void;
}

export class ResidentMoments implements Moments {
  readonly copied = undefined;
  readonly #device: Device;
  readonly #states: Readonly<Record<Moment, Tensor>>; // f32[length] each
  readonly #length: number;

  constructor(device: Device, length: number) {
    this.#device = device;
    this.#length = length;
    const make = (label: Moment): Tensor => {
      const y = device.allocate("f32", [length], label);
      device.run(fill, { y }, { n: length, value: 0 });
      return y;
    };
    this.#states = { exp_avg: make("exp_avg"), exp_avg_sq: make("exp_avg_sq") };
  }

  async prepare(): Promise<void> {}

  async update(work: MomentsUpdate): Promise<void> {
    work(0, this.#length, this.#states.exp_avg, this.#states.exp_avg_sq);
  }

  read(moment: Moment): Promise<Float32Array<ArrayBuffer>> {
    return readPieces(this.#device, this.#states[moment]);
  }

  async write(moment: Moment, values: Float32Array<ArrayBuffer>): Promise<void> {
    this.#device.write(this.#states[moment], values);
  }

  dispose(): void {
    for (const tensor of Object.values(this.#states)) this.#device.free(tensor);
  }
}
