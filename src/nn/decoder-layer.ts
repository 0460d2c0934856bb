import type { Device } from "../device.ts";
import { attention, attentionBackward, rmsnorm, rmsnormBackward, rope, swiglu, swigluBackward } from "../ops/index.ts";
import type { Tensor } from "../tensor.ts";
import type { LayerActivations, LayerGradients, LayerScratch, LinearName } from "./activations.ts";
import { addResidual, type DropoutPosition, type Linear } from "./linear.ts";
import { rowsOf, type LlamaShape, type Span } from "./shape.ts";

/** cos and sin of `ropeTables`, and the position of every row. */
export interface Rotation {
  readonly cos: Tensor; // f32[maxPositions, headDim / 2]
  readonly sin: Tensor; // f32[maxPositions, headDim / 2]
  readonly positions: Tensor; // i32[rows]
}

/**
 * One block of a Llama: h = x + o(attention(rope(q, k), v)) with q, k, v of rmsnorm(x),
 * y = h + down(silu(gate(n)) · up(n)) with n = rmsnorm(h).
 */
export class DecoderLayer {
  readonly linears: Readonly<Record<LinearName, Linear>>;
  readonly inputNorm: Tensor; // f32[hidden]
  readonly postAttentionNorm: Tensor; // f32[hidden]
  readonly #shape: LlamaShape;

  constructor(shape: LlamaShape, linears: Readonly<Record<LinearName, Linear>>, inputNorm: Tensor, postAttentionNorm: Tensor) {
    this.#shape = shape;
    this.linears = linears;
    this.inputNorm = inputNorm;
    this.postAttentionNorm = postAttentionNorm;
  }

  /**
   * y[rows, hidden] from x[rows, hidden]; x stays as it is.
   * `keys` and `values` hold all `keyLength` rows; `kept.k` and `kept.v` are where this span's rows go.
   */
  forward(device: Device, span: Span, x: Tensor, y: Tensor, kept: LayerActivations, scratch: LayerScratch, rotation: Rotation, dropout?: DropoutPosition, keys: Tensor = kept.k, values: Tensor = kept.v): void {
    const rows = rowsOf(span);
    const { hiddenSize: hidden, rmsNormEps: eps, intermediateSize } = this.#shape;
    const through = (name: LinearName, from: Tensor, to: Tensor): void => this.linears[name].forward(device, from, to, rows, kept.h[name], scratch, dropout);

    device.run(rmsnorm, { x, weight: this.inputNorm, y: scratch.normed, rstd: kept.rstd1 }, { rows, n: hidden, eps });
    through("q_proj", scratch.normed, kept.q);
    through("k_proj", scratch.normed, kept.k);
    through("v_proj", scratch.normed, kept.v);
    this.#rotate(device, rows, kept.q, kept.k, rotation, 1);
    device.run(attention, { q: kept.q, k: keys, v: values, y: kept.attended, lse: kept.lse }, this.#attentionParams(span));
    through("o_proj", kept.attended, kept.middle);
    addResidual(device, x, kept.middle, rows * hidden);

    device.run(rmsnorm, { x: kept.middle, weight: this.postAttentionNorm, y: scratch.normed, rstd: kept.rstd2 }, { rows, n: hidden, eps });
    through("gate_proj", scratch.normed, kept.gate);
    through("up_proj", scratch.normed, kept.up);
    device.run(swiglu, { gate: kept.gate, up: kept.up, y: scratch.inner }, { n: rows * intermediateSize });
    through("down_proj", scratch.inner, y);
    addResidual(device, kept.middle, y, rows * hidden);
  }

  /**
   * On entry `d` is the gradient of y, on exit that of x. Overwrites gate and up of `kept`.
   * Without `inputGradient` (nothing below is trained) `d` is undefined on exit.
   */
  backward(device: Device, span: Span, x: Tensor, d: Tensor, kept: LayerActivations, gradients: LayerGradients, scratch: LayerScratch, rotation: Rotation, dropout: DropoutPosition | undefined, inputGradient: boolean): void {
    const rows = rowsOf(span);
    const { hiddenSize: hidden, rmsNormEps: eps, intermediateSize } = this.#shape;
    const { linears } = this;
    const back = (name: LinearName, dy: Tensor, input: Tensor, dx: Tensor, accumulate: boolean): void => {
      linears[name].backwardInput(device, dy, dx, rows, accumulate, scratch, dropout);
      linears[name].backwardAdapter(device, dy, input, rows, kept.h[name], scratch, true, dropout);
    };

    linears.down_proj.backwardInput(device, d, gradients.inner, rows, false, scratch, dropout);
    device.run(swigluBackward, { dy: gradients.inner, gate: kept.gate, up: kept.up, y: scratch.inner }, { n: rows * intermediateSize });
    linears.down_proj.backwardAdapter(device, d, scratch.inner, rows, kept.h.down_proj, scratch, true, dropout);
    device.run(rmsnorm, { x: kept.middle, weight: this.postAttentionNorm, y: scratch.normed, rstd: kept.rstd2 }, { rows, n: hidden, eps });
    back("gate_proj", kept.gate, scratch.normed, gradients.normed, false);
    back("up_proj", kept.up, scratch.normed, gradients.normed, true);
    device.run(rmsnormBackward, { dy: gradients.normed, x: kept.middle, weight: this.postAttentionNorm, rstd: kept.rstd2, dx: d }, { rows, n: hidden, accumulate: 1 });

    back("o_proj", d, kept.attended, gradients.attended, false);
    const { q, k, v } = gradients;
    device.run(attentionBackward, { q: kept.q, k: kept.k, v: kept.v, y: kept.attended, dy: gradients.attended, lse: kept.lse, dq: q, dk: k, dv: v }, this.#attentionParams(span));
    this.#rotate(device, rows, q, k, rotation, -1);
    device.run(rmsnorm, { x, weight: this.inputNorm, y: scratch.normed, rstd: kept.rstd1 }, { rows, n: hidden, eps });
    if (!inputGradient) {
      for (const [name, dy] of [["q_proj", q], ["k_proj", k], ["v_proj", v]] as const) {
        linears[name].backwardAdapter(device, dy, scratch.normed, rows, kept.h[name], scratch, false, dropout);
      }
      return;
    }
    back("q_proj", q, scratch.normed, gradients.normed, false);
    back("k_proj", k, scratch.normed, gradients.normed, true);
    back("v_proj", v, scratch.normed, gradients.normed, true);
    device.run(rmsnormBackward, { dy: gradients.normed, x, weight: this.inputNorm, rstd: kept.rstd1, dx: d }, { rows, n: hidden, accumulate: 1 });
  }

  #rotate(device: Device, rows: number, q: Tensor, k: Tensor, { cos, sin, positions }: Rotation, sign: 1 | -1): void {
    const { headDim, numAttentionHeads, numKeyValueHeads } = this.#shape;
    device.run(rope, { positions, cos, sin, q, k }, { rows, heads: numAttentionHeads, kvHeads: numKeyValueHeads, headDim, maxPositions: cos.shape[0], sign });
  }

  #attentionParams({ batch, length, keyLength }: Span) {
    const { headDim, numAttentionHeads: heads, numKeyValueHeads: kvHeads } = this.#shape;
    return { batch, queryLength: length, keyLength, heads, kvHeads, headDim, scale: 1 / Math.sqrt(headDim) };
  }
}
