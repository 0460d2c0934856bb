import type { Device } from "../../device.ts";
import type { LimitName } from "./limits.ts";
import type { Timed } from "./timing.ts";

/** One line of the report: work of one size, set up on each device that it is to be measured on. */
export interface BenchCase {
  /** `matmul-nt`, `quantize-nf4`, `train` */
  readonly op: string;
  /** As `--size` spells it. */
  readonly shape: string;
  /** Weights that one run goes through, where elements/s says something. */
  readonly elements?: number;
  /** Tokens of one run. */
  readonly tokens?: number;
  /** What the machine could do at most; a calibration has none. */
  readonly limit?: LimitName;
  prepare(device: Device): Promise<Timed>;
}
