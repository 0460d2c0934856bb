import type { Device } from "../device.ts";
import { addBias, addScaled, dropout, matmulNn, matmulNt, matmulTn, scale } from "../ops/index.ts";
import type { Tensor } from "../tensor.ts";
import type { Lora } from "./lora.ts";
import { multiply, multiplyBackward, type Weight } from "./weight.ts";

/** Buffers that every linear of a pass may overwrite. */
export interface LinearScratch {
  /** f32[rows, widest input]: the dropped-out input, and the adapter's part of dx before its mask. */
  readonly dropped: Tensor | undefined;
  /** f32[rows, largest r]: dy · B. */
  readonly u: Tensor;
}

/** Where in the run a batch stands: the counter of every random number of its dropout masks. */
export interface DropoutPosition {
  readonly step: number;
  /** Index of the first sequence within the optimizer step, so that any split into micro-batches draws the same masks. */
  readonly sequence: number;
  readonly rowsPerSequence: number;
}

/**
 * y = x Wᵀ + bias + Σ scaling · (drop(x) Aᵀ) Bᵀ over a frozen W.
 *
 * Gradients, with u = scaling · dy B and h = scaling · drop(x) Aᵀ:
 * dB = dyᵀ h, dA = uᵀ drop(x), dx = dy W + mask ∘ (u A). W and the bias have none.
 * Source: Hu et al. 2021 (LoRA); PEFT's lora.Linear.
 */
export class Linear {
  readonly name: string;
  readonly weight: Weight;
  readonly bias: Tensor | undefined;
  /** One while training; any number, each with its own scale, while generating. */
  loras: Lora[] = [];

  constructor(name: string, weight: Weight, bias?: Tensor) {
    this.name = name;
    this.weight = weight;
    this.bias = bias;
  }

  /** `h` receives scaling · drop(x) Aᵀ of the last adapter, f32[rows, r]; the backward pass wants it. */
  forward(device: Device, x: Tensor, y: Tensor, rows: number, h: Tensor, scratch: LinearScratch, position?: DropoutPosition): void {
    const { out, in: width } = this.weight;
    this.multiplyBase(device, x, y, rows);
    if (this.bias) device.run(addBias, { bias: this.bias, y }, { rows, n: out });
    for (const lora of this.loras) {
      const input = this.#droppedInput(device, lora, x, rows, scratch, position);
      device.run(matmulNt, { x: input, w: lora.a, y: h }, { m: rows, n: lora.r, k: width, accumulate: 0 });
      if (lora.scaling !== 1) device.run(scale, { y: h }, { n: rows * lora.r, alpha: lora.scaling });
      device.run(matmulNt, { x: h, w: lora.b, y }, { m: rows, n: out, k: lora.r, accumulate: 1 });
    }
  }

  protected multiplyBase(device: Device, x: Tensor, y: Tensor, rows: number): void {
    multiply(device, this.weight, x, y, rows);
  }

  #droppedInput(device: Device, lora: Lora, x: Tensor, rows: number, scratch: LinearScratch, position?: DropoutPosition): Tensor {
    if (!position || !lora.dropout || !scratch.dropped) return x;
    device.run(dropout, { x, y: scratch.dropped }, { ...this.#mask(lora, rows, position), accumulate: 0 });
    return scratch.dropped;
  }

  #mask(lora: Lora, rows: number, position: DropoutPosition) {
    const { probability, key0, key1 } = lora.dropout!;
    return { rows, n: this.weight.in, probability, key0, key1, ...position };
  }

  /** dx of this layer; leaves u in the scratch for `backwardAdapter`, which must come next. */
  backwardInput(device: Device, dy: Tensor, dx: Tensor, rows: number, accumulate: boolean, scratch: LinearScratch, position?: DropoutPosition): void {
    const { out, in: width } = this.weight;
    multiplyBackward(device, this.weight, dy, dx, rows, accumulate);
    const lora = this.loras[0];
    if (!lora) return;
    this.#backwardU(device, lora, dy, rows, out, scratch);
    if (position && lora.dropout && scratch.dropped) {
      device.run(matmulNn, { x: scratch.u, w: lora.a, y: scratch.dropped }, { m: rows, n: width, k: lora.r, xStride: lora.r, accumulate: 0 });
      device.run(dropout, { x: scratch.dropped, y: dx }, { ...this.#mask(lora, rows, position), accumulate: 1 });
    } else {
      device.run(matmulNn, { x: scratch.u, w: lora.a, y: dx }, { m: rows, n: width, k: lora.r, xStride: lora.r, accumulate: 1 });
    }
  }

  #backwardU(device: Device, lora: Lora, dy: Tensor, rows: number, out: number, scratch: LinearScratch): void {
    device.run(matmulNn, { x: dy, w: lora.b, y: scratch.u }, { m: rows, n: lora.r, k: out, xStride: out, accumulate: 0 });
    if (lora.scaling !== 1) device.run(scale, { y: scratch.u }, { n: rows * lora.r, alpha: lora.scaling });
  }

  /** Adds to the gradients of A and B. `uReady` says that `backwardInput` was called just before. */
  backwardAdapter(device: Device, dy: Tensor, x: Tensor, rows: number, h: Tensor, scratch: LinearScratch, uReady: boolean, position?: DropoutPosition): void {
    const lora = this.loras[0];
    if (!lora?.gradA || !lora.gradB) return;
    const { out, in: width } = this.weight;
    if (!uReady) this.#backwardU(device, lora, dy, rows, out, scratch);
    const input = this.#droppedInput(device, lora, x, rows, scratch, position);
    device.run(matmulTn, { x: dy, w: h, y: lora.gradB }, { m: out, n: lora.r, k: rows, accumulate: 1 });
    device.run(matmulTn, { x: scratch.u, w: input, y: lora.gradA }, { m: lora.r, n: width, k: rows, accumulate: 1 });
  }
}

/** y += x, the residual connection. */
export function addResidual(device: Device, x: Tensor, y: Tensor, n: number): void {
  device.run(addScaled, { x, y }, { n, alpha: 1 });
}
