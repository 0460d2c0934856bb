import type { Device } from "../device.ts";
import type { AdapterParameters } from "../nn/lora.ts";
import { adamw, clipScale, fill, sumSquares } from "../ops/index.ts";
import { ELEMENTS_PER_PARTIAL } from "../ops/sum-squares.ts";
import { viewTensor, type Tensor } from "../tensor.ts";
import { ResidentMoments, type Moments } from "./moments.ts";

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly eps: number;
  readonly weightDecay: number;
  /** Clip gradients to this global norm; 0 does not. */
  readonly maxGradNorm: number;
}

export const ADAMW_DEFAULTS: AdamWOptions = { beta1: 0.9, beta2: 0.999, eps: 1e-8, weightDecay: 0, maxGradNorm: 1 };

/** AdamW over the flat buffers of an adapter, gradients clipped by their global norm on the device. */
export class AdamW {
  readonly #device: Device;
  readonly #parameters: AdapterParameters;
  readonly #options: AdamWOptions;
  readonly moments: Moments;
  readonly #partials: Tensor; // f32[partial sums]
  /** f32[2]: the gradient's norm before clipping, and the factor that clips it. */
  readonly clip: Tensor;

  /** @param moments its to dispose of; by default on the device */
  constructor(device: Device, parameters: AdapterParameters, options: AdamWOptions, moments: Moments = new ResidentMoments(device, parameters.length)) {
    this.#device = device;
    this.#parameters = parameters;
    this.#options = options;
    this.moments = moments;
    this.#partials = device.allocate("f32", [Math.ceil(parameters.length / ELEMENTS_PER_PARTIAL)], "norm partials");
    this.clip = device.allocate("f32", [2], "clip");
  }

  zeroGradients(): void {
    this.#device.run(fill, { y: this.#parameters.grad! }, { n: this.#parameters.length, value: 0 });
  }

  /** Queues an update. @param t its number, from 1. */
  async step(t: number, learningRate: number): Promise<void> {
    const { param, grad, length } = this.#parameters;
    const { beta1, beta2, eps, weightDecay, maxGradNorm: maxNorm } = this.#options;
    this.#device.run(sumSquares, { x: grad!, partials: this.#partials }, { n: length });
    this.#device.run(clipScale, { partials: this.#partials, clip: this.clip }, { count: this.#partials.shape[0], maxNorm });
    const scalars = { learningRate, oneMinusBeta1: 1 - beta1, beta2, oneMinusBeta2: 1 - beta2, eps, weightDecay, correction1: 1 - beta1 ** t, correction2: 1 - beta2 ** t };
    await this.moments.update((begin, n, expAvg, expAvgSq) => {
      this.#device.run(adamw, { clip: this.clip, grad: viewTensor(grad!, [n], begin), param: viewTensor(param, [n], begin), expAvg, expAvgSq }, { n, ...scalars });
    });
  }

  dispose(): void {
    this.moments.dispose();
    this.#device.free(this.#partials);
    this.#device.free(this.clip);
  }
}
