/** A device whose threads can be told to take less of the CPU. */
export interface Throttle {
  readonly threads: number;
  /** In threads, above 0: 1.5 is two threads at three quarters of their time. Never changes a bit of a result. */
  allowance: number;
}

/** What a pace had in force so far, in threads: half of one's time is 0.5. */
export interface PaceRecord {
  readonly policy: "fair" | "polite";
  readonly most: number;
  readonly least: number;
  /** Times that the allowance changed. */
  readonly changes: number;
}

/** How a device took the CPU. */
export interface Schedule extends PaceRecord {
  readonly threads: number;
  /** How the operating system ranks the workers: 0 as any program, 19 below all; undefined where it does not tell. */
  readonly nice: number | undefined;
}

/** Decides how much of the CPU a device's threads take while it lives; what to go by, each runtime knows for itself. */
export interface Pace {
  /** For the log: `polite, nice 19`. */
  readonly description: string;
  readonly record: PaceRecord;
  /** @throws DeviceError when there is nothing to go by */
  start(device: Throttle): void | Promise<void>;
  stop(): void;
}

/** What others leave of the CPU, over one interval. */
export interface Pressure {
  /** Part of the time that our threads were ready to run and had to wait, 0 to 1. */
  readonly waiting: number;
  /** Cores that nobody else used. */
  readonly room: number;
}

/** The least a device may be given: it always gets on. */
export const LEAST_ALLOWANCE = 0.05;

const WAITS = 0.2, CALM = 0.05; // parts of the time
const ROOMY = 0.9; // of what is wanted: others are never quite idle
const WAITS_TWICE = 2, CALM_LONG = 8; // intervals in a row: back at once, forward only when it stays calm

/**
 * Gives up threads while others need the cores and takes them back later. Above one thread it goes back by
 * 30 % and forward by one; below, it halves and doubles the time the last thread computes. It goes forward only into
 * cores that nobody uses: a thread that wakes up seldom hardly waits, even on a machine that is full.
 */
export class AllowanceController {
  readonly #most: number;
  #allowance: number;
  #waited = 0;
  #calm = 0;

  constructor(most: number) {
    this.#most = most;
    this.#allowance = most;
  }

  /** The allowance for the next interval, after one with this pressure. */
  next({ waiting, room }: Pressure): number {
    const now = this.#allowance;
    this.#waited = waiting > WAITS ? this.#waited + 1 : 0;
    const wanted = Math.min(this.#most, now >= 1 ? now + 1 : Math.min(1, 2 * now));
    this.#calm = waiting < CALM && room >= ROOMY * wanted ? this.#calm + 1 : 0;
    if (this.#waited >= WAITS_TWICE) this.#move(now > 1 ? Math.max(1, Math.floor(0.7 * now)) : Math.max(LEAST_ALLOWANCE, now / 2));
    else if (this.#calm >= CALM_LONG) this.#move(wanted);
    return this.#allowance;
  }

  #move(to: number): void {
    this.#allowance = to;
    this.#waited = 0;
    this.#calm = 0;
  }
}
