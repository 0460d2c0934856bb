import { AllowanceController, LEAST_ALLOWANCE, type Pace, type PaceRecord, type Pressure, type Throttle } from "../wasm/pace.ts";
import { pressureMeter } from "./pressure-node.ts";

export interface PaceOptions {
  /** Step back while others want the CPU. */
  readonly polite: boolean;
  /** The most threads to compute with, in parts of a thread too: half of two cores is 1, half of one is 0.5. */
  readonly most: number;
  /** After every change, in threads. */
  readonly onChange?: ((allowance: number) => void) | undefined;
  readonly meter?: () => Pressure | undefined;
}

export const POLITE_NICE = 19;
const INTERVAL_MS = 250;

/** The pace of a good neighbour: fixed, or by what others leave. */
export class NodePace implements Pace {
  readonly #options: PaceOptions;
  #timer: NodeJS.Timeout | undefined;
  #least: number;
  #changes = 0;

  constructor(options: PaceOptions) {
    this.#options = options;
    this.#least = options.most;
  }

  get description(): string {
    const { polite, most } = this.#options;
    const share = Number.isInteger(most) ? "" : `${Math.round((100 * most) / Math.ceil(most))} % of the time`;
    return [polite ? `polite, nice ${POLITE_NICE}` : "", share].filter(Boolean).join(", ") || "fair";
  }

  get record(): PaceRecord {
    return { policy: this.#options.polite ? "polite" : "fair", most: this.#options.most, least: this.#least, changes: this.#changes };
  }

  start(device: Throttle): void {
    const most = Math.min(this.#options.most, device.threads);
    device.allowance = Math.max(LEAST_ALLOWANCE, most);
    if (!this.#options.polite) return;
    const controller = new AllowanceController(most);
    const meter = this.#options.meter ?? pressureMeter();
    this.#timer = setInterval(() => {
      const pressure = meter();
      const next = pressure ? controller.next(pressure) : device.allowance;
      if (next !== device.allowance) this.#change(device, next);
    }, INTERVAL_MS).unref(); // it does not keep the process alive
  }

  #change(device: Throttle, allowance: number): void {
    device.allowance = allowance;
    this.#least = Math.min(this.#least, allowance);
    this.#changes++;
    this.#options.onChange?.(allowance);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
