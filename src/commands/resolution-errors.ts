import type { Device } from "../device.ts";
import type { WeightTensor } from "../format/weights.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import { CHUNK, dequantizeChunks, readAsF32 } from "./read-tensor.ts";
import { bytesAt, RESOLUTIONS, RoundTrips, type Resolution } from "./resolutions.ts";

/** What one resolution costs. Of values that are NaN or infinite nothing can be said: the figures are NaN. */
export interface ResolutionError {
  readonly resolution: Resolution;
  readonly bytes: number;
  readonly bitsPerParam: number;
  /** √(Σ (x − y)² / Σ x²) */
  readonly relativeRms: number;
  /** max |x − y| */
  readonly maxAbs: number;
  /** 10 log₁₀(Σ x² / Σ (x − y)²); infinite when nothing is lost. */
  readonly snrDb: number;
}

export interface TensorErrors {
  /** What x is: the values as stored, or what a tensor in 4 bits dequantizes to. */
  readonly relativeTo: "stored values" | "dequantized values";
  /** √(Σ x² / n) */
  readonly rms: number;
  /** How many values are NaN or infinite. */
  readonly nonFinite: number;
  readonly resolutions: readonly ResolutionError[];
}

/** Sums over values, of one tensor or of many. */
export class ErrorSums {
  n = 0;
  squares = 0; // Σ x²
  nonFinite = 0;
  readonly of = RESOLUTIONS.map((resolution) => ({ resolution, bytes: 0, squares: 0, max: 0 }));

  add(other: ErrorSums): void {
    this.n += other.n;
    this.squares += other.squares;
    this.of.forEach((sum, i) => {
      const { bytes, squares, max } = other.of[i];
      sum.bytes += bytes;
      sum.squares += squares;
      sum.max = Math.max(sum.max, max);
    });
  }

  resolutions(): ResolutionError[] {
    return this.of.map(({ resolution, bytes, squares, max }) => ({
      resolution, bytes, bitsPerParam: (8 * bytes) / this.n, relativeRms: squares === 0 ? 0 : Math.sqrt(squares / this.squares), maxAbs: max,
      snrDb: squares === 0 ? Infinity : 10 * Math.log10(this.squares / squares),
    }));
  }
}

/**
 * Measures tensors with one set of buffers. A tensor that is longer than a chunk is read twice: double quantization
 * needs the mean of all absmax first.
 */
export class ErrorMeter {
  readonly #device: Device;
  readonly #blocksize: number;
  readonly #trips: RoundTrips;
  readonly #values: Tensor;
  readonly #staging: Tensor;
  readonly #x = new Float32Array(CHUNK);
  readonly #y = new Float32Array(CHUNK);

  constructor(device: Device, blocksize: number) {
    this.#device = device;
    this.#blocksize = blocksize;
    this.#trips = new RoundTrips(device, blocksize, CHUNK);
    this.#values = device.allocate("f32", [CHUNK], "values");
    this.#staging = device.allocate("bf16", [CHUNK], "staging");
  }

  /** @param onRead is told which part of the work is done. */
  async measure(source: WeightTensor, onRead: (part: number) => void, signal: AbortSignal | undefined): Promise<ErrorSums> {
    const sums = new ErrorSums();
    sums.n = elementsOf(source.shape);
    for (const sum of sums.of) sum.bytes = bytesAt(sum.resolution, sums.n, this.#blocksize);
    const mean = new Mean();
    const long = sums.n > CHUNK;
    const look = async (chunk: number): Promise<void> => mean.add((await this.#device.read(this.#trips.absmax(this.#values, chunk))) as Float32Array);
    if (long) await this.#eachChunk(source, signal, async (at, chunk) => {
      await look(chunk);
      onRead((at + chunk) / sums.n / 2);
    });
    await this.#eachChunk(source, signal, async (at, chunk) => {
      if (!long) await look(chunk);
      await this.#compare(sums, chunk, mean.value);
      onRead(long ? 0.5 + (at + chunk) / sums.n / 2 : 1);
    });
    return sums;
  }

  #eachChunk(source: WeightTensor, signal: AbortSignal | undefined, visit: (at: number, chunk: number) => Promise<void>): Promise<void> {
    const target = (): Tensor => this.#values;
    return source.kind === "dense" ? readAsF32(this.#device, source, this.#staging, target, signal, visit) : dequantizeChunks(this.#device, source, target, signal, visit, CHUNK);
  }

  async #compare(sums: ErrorSums, n: number, offset: number): Promise<void> {
    const x = (await this.#device.read(viewTensor(this.#values, [n]), this.#x.subarray(0, n))) as Float32Array;
    for (let i = 0; i < n; i++) {
      sums.squares += x[i] * x[i];
      if (!Number.isFinite(x[i])) sums.nonFinite++;
    }
    for (const sum of sums.of) {
      const y = (await this.#device.read(this.#trips.run(sum.resolution, this.#values, n, offset), this.#y.subarray(0, n))) as Float32Array;
      let { squares, max } = sum;
      for (let i = 0; i < n; i++) {
        const error = x[i] - y[i];
        squares += error * error;
        max = Math.max(max, Math.abs(error));
      }
      Object.assign(sum, { squares, max });
    }
  }

  dispose(): void {
    this.#trips.dispose();
    this.#device.free(this.#values);
    this.#device.free(this.#staging);
  }
}

/** Of finite values, in float64, rounded once: the offset that `quantize` would store. */
class Mean {
  #sum = 0;
  #count = 0;

  add(values: Float32Array): void {
    for (let i = 0; i < values.length; i++) {
      const value = values[i];
      if (!Number.isFinite(value)) continue;
      this.#sum += value;
      this.#count++;
    }
  }

  get value(): number {
    return this.#count ? Math.fround(this.#sum / this.#count) : 0;
  }
}
