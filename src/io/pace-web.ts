import { DeviceError } from "../errors.ts";
import { AllowanceController, type Pace, type PaceRecord, type Pressure, type Throttle } from "../wasm/pace.ts";

/** https://www.w3.org/TR/compute-pressure/ */
type PressureState = "nominal" | "fair" | "serious" | "critical";
interface PressureRecord { readonly state: PressureState }
interface PressureObserver {
  observe(source: "cpu", options: { readonly sampleInterval: number }): Promise<void>;
  disconnect(): void;
}
export type PressureObserverClass = new (callback: (records: readonly PressureRecord[]) => void) => PressureObserver;

const INTERVAL_MS = 250;

/**
 * The pace of a good neighbour in a browser. All a page learns is how busy the whole machine is, itself included: it gives
 * up threads while that is critical, takes one back when it has been nominal or fair for two seconds, and stays where it is
 * in between.
 */
export class WebPace implements Pace {
  readonly description = "polite";
  readonly #Observer: PressureObserverClass;
  readonly #onChange: ((allowance: number) => void) | undefined;
  #observer: PressureObserver | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;
  #state: PressureState = "nominal";
  #most = 1;
  #least = 1;
  #changes = 0;

  /** @throws DeviceError where there is no Compute Pressure API. */
  constructor(onChange?: (allowance: number) => void, Observer = (globalThis as { PressureObserver?: PressureObserverClass }).PressureObserver) {
    if (!Observer) {
      throw new DeviceError("polite", "nothing here tells how busy the machine is", {
        expected: "PressureObserver", got: "none", hint: "Chromium has it in secure contexts and their workers, other browsers do not; without `polite` one core stays free",
      });
    }
    this.#Observer = Observer;
    this.#onChange = onChange;
  }

  get record(): PaceRecord {
    return { policy: "polite", most: this.#most, least: this.#least, changes: this.#changes };
  }

  /** @throws DeviceError when the page may not observe */
  async start(device: Throttle): Promise<void> {
    this.#most = this.#least = device.threads;
    const controller = new AllowanceController(device.threads);
    // Records come when the state changes, so the last one is good until the next.
    this.#observer = new this.#Observer((records) => { this.#state = records.at(-1)?.state ?? this.#state; });
    try {
      await this.#observer.observe("cpu", { sampleInterval: INTERVAL_MS });
    } catch (cause) {
      throw new DeviceError("polite", "the pressure of the CPU may not be observed", { expected: "the permission compute-pressure", got: cause instanceof Error ? cause.message : cause, hint: "is the page in a frame without allow=\"compute-pressure\"?", cause });
    }
    this.#timer = setInterval(() => {
      const next = controller.next(pressureOf(this.#state, device.threads));
      if (next === device.allowance) return;
      device.allowance = next;
      this.#least = Math.min(this.#least, next);
      this.#changes++;
      this.#onChange?.(next);
    }, INTERVAL_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#observer?.disconnect();
  }
}

function pressureOf(state: PressureState, cores: number): Pressure {
  return { waiting: state === "critical" ? 1 : 0, room: state === "nominal" || state === "fair" ? cores : 0 };
}
