import type { Device } from "../device.ts";
import { FormatError, ShapeError } from "../errors.ts";
import type { DensePlan, FloatName, ModelWriter } from "../format/model-writer.ts";
import { bf16ToF32, copy, f16ToF32, f32ToBf16, f32ToF16 } from "../ops/index.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import { handled, type HostMemory } from "./host-memory.ts";

/** What to do with a NaN or an infinity among the weights. */
export type NanPolicy = "refuse" | "keep";

export interface TargetOptions {
  readonly device: Device;
  readonly writer: ModelWriter;
  readonly host: HostMemory;
  /** For messages: the model. */
  readonly where: string;
  readonly nan: NanPolicy;
  /** The most elements of one `put`. */
  readonly capacity: number;
}

/** Waits for what is queued, checks it and writes it. Called once, after that of the put before. */
export type Store = () => Promise<void>;

/** Takes the values of one tensor, f32 on the device, in order, and writes them as its plan says. */
export interface TensorTarget {
  /** Queues all there is to compute, so that the next values may be put before these are stored. `values` stay until then. */
  put(values: Tensor, at: number, n: number): Store;
  /** How often all values must be put; between two rounds comes `nextRound`. */
  readonly rounds: 1 | 2;
  nextRound(): void;
  finish(): Promise<void>;
  /** y = the values of the last put as they will be read. In the last round, unless it kept constants for `finish`. */
  stored(y: Tensor, n: number): void;
  dispose(): void;
}

/** Index of the first NaN or infinity, or −1; f16 and bf16 as their bits. */
export function firstNonFinite(data: Float32Array | Uint16Array, dtype: FloatName): number {
  if (data instanceof Uint16Array) return firstOfBits(data, dtype === "float16" ? 0x7c00 : 0x7f80);
  // x − x is 0 but for NaN and infinity; a sum tells of a whole stretch at once.
  for (let begin = 0; begin < data.length; begin += STRETCH) {
    const end = Math.min(begin + STRETCH, data.length);
    let sum = 0;
    for (let i = begin; i < end; i++) sum += data[i] - data[i];
    if (sum === 0) continue;
    for (let i = begin; i < end; i++) if (!Number.isFinite(data[i])) return i;
  }
  return -1;
}

const STRETCH = 4096;

function firstOfBits(bits: Uint16Array, exponent: number): number {
  for (let i = 0; i < bits.length; i++) if ((bits[i] & exponent) === exponent) return i;
  return -1;
}

function nameOfBits(bits: number, dtype: FloatName): string {
  const mantissa = bits & (dtype === "float16" ? 0x3ff : 0x7f);
  return mantissa ? "NaN" : bits & 0x8000 ? "-Infinity" : "Infinity";
}

export function nonFiniteError(where: string, name: string, index: number, got: number | string): FormatError {
  return new FormatError(`${where}: ${name}`, `element ${index}`, { expected: "a finite weight", got, hint: `the model is damaged; nan: "keep" goes on nevertheless` });
}

/** A tensor of floats. */
export class DenseTarget implements TensorTarget {
  readonly rounds = 1;
  readonly #options: TargetOptions;
  readonly #plan: DensePlan;
  readonly #bits: Tensor | undefined; // f16[capacity] or bf16[capacity]
  #last: Tensor | undefined;

  constructor(options: TargetOptions, plan: DensePlan) {
    this.#options = options;
    this.#plan = plan;
    if (plan.dtype !== "float32") this.#bits = options.device.allocate(plan.dtype === "float16" ? "f16" : "bf16", [options.capacity], plan.name);
  }

  put(values: Tensor, at: number, n: number): Store {
    const { device, host } = this.#options;
    const x = viewTensor(values, [n]);
    this.#last = x;
    if (!this.#bits) {
      const room = host.take(4 * this.#options.capacity);
      const read = handled(device.read(x, new Float32Array(room, 0, n)));
      return async () => {
        await this.putHost((await read) as Float32Array, at);
        host.give(room);
      };
    }
    const y = viewTensor(this.#bits, [n]);
    device.run(this.#plan.dtype === "float16" ? f32ToF16 : f32ToBf16, { x, y }, { n });
    const room = host.take(2 * this.#options.capacity);
    const read = handled(device.read(y, new Uint16Array(room, 0, n)));
    return async () => {
      await this.#storeBits((await read) as Uint16Array, values, at);
      host.give(room);
    };
  }

  async #storeBits(bits: Uint16Array, values: Tensor, at: number): Promise<void> {
    const bad = firstNonFinite(bits, this.#plan.dtype);
    if (bad >= 0) this.#refuseOverflow(((await this.#options.device.read(viewTensor(values, [1], bad))) as Float32Array)[0], at + bad);
    await this.putHost(bits, at);
  }

  #refuseOverflow(value: number, index: number): void {
    if (!Number.isFinite(value)) return;
    const { name, dtype } = this.#plan;
    throw new ShapeError(`${this.#options.where}: ${name}`, `element ${index} in ${dtype}`, { expected: "a value within its range", got: value, hint: "choose float32 or bfloat16" });
  }

  /** Values that are as they will be stored. */
  async putHost(data: Float32Array | Uint16Array, at: number): Promise<void> {
    const { where, nan, writer } = this.#options;
    const { name, dtype } = this.#plan;
    const bad = nan === "refuse" ? firstNonFinite(data, dtype) : -1;
    if (bad >= 0) throw nonFiniteError(where, name, at + bad, data instanceof Float32Array ? data[bad] : nameOfBits(data[bad], dtype));
    await writer.write(name, at * data.BYTES_PER_ELEMENT, data);
  }

  nextRound(): void {}

  async finish(): Promise<void> {}

  stored(y: Tensor, n: number): void {
    const { device } = this.#options;
    if (!this.#bits) device.run(copy, { x: this.#last!, y }, { n });
    else device.run(this.#plan.dtype === "float16" ? f16ToF32 : bf16ToF32, { x: this.#bits, y }, { n });
  }

  dispose(): void {
    if (this.#bits) this.#options.device.free(this.#bits);
  }
}
