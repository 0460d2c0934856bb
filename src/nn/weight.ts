import type { Device } from "../device.ts";
import { matmulNf4Nn, matmulNf4Nt, matmulNn, matmulNt } from "../ops/index.ts";
import { viewTensor, type Tensor } from "../tensor.ts";

/** A frozen matrix [out, in] in float32. */
export interface DenseWeight {
  readonly kind: "dense";
  readonly out: number;
  readonly in: number;
  readonly values: Tensor; // f32[out, in]
}

/**
 * A frozen matrix [out, in] in 4 bits; blocks run over the flattened matrix. It stands for code · absmax in f32, whatever
 * dtype its quant state names: that is what bitsandbytes multiplies float32 activations with (gemm_4bit, 0.50).
 */
export interface QuantizedWeight {
  readonly kind: "4bit";
  readonly out: number;
  readonly in: number;
  readonly packed: Tensor; // u8[ceil(out·in / 2)]
  readonly absmax: Tensor; // f32[blocks], or u8[blocks] when double-quantized
  readonly code: Tensor; // f32[16]
  readonly nestedAbsmax: Tensor; // f32[ceil(blocks / 256)], unused unless double-quantized
  readonly nestedCode: Tensor; // f32[256], unused unless double-quantized
  readonly blocksize: number;
  readonly nested: boolean;
  readonly nestedOffset: number;
}

export type Weight = DenseWeight | QuantizedWeight;

type Table = "packed" | "absmax" | "nestedAbsmax";

/** A 4-bit matrix whose tensors are parts of a page: they are somewhere else each time the page is brought in. */
export class PagedWeight implements QuantizedWeight {
  readonly kind = "4bit";
  readonly out: number;
  readonly in: number;
  readonly code: Tensor;
  readonly nestedCode: Tensor;
  readonly blocksize: number;
  readonly nested: boolean;
  readonly nestedOffset: number;
  readonly #find: (table: Table) => Tensor;

  /** @param find where a tensor is now; throws while the page is not in a frame. */
  constructor(constants: Omit<QuantizedWeight, Table | "kind">, find: (table: Table) => Tensor) {
    this.out = constants.out;
    this.in = constants.in;
    this.code = constants.code;
    this.nestedCode = constants.nestedCode;
    this.blocksize = constants.blocksize;
    this.nested = constants.nested;
    this.nestedOffset = constants.nestedOffset;
    this.#find = find;
  }

  get packed(): Tensor { return this.#find("packed"); }
  get absmax(): Tensor { return this.#find("absmax"); }
  get nestedAbsmax(): Tensor { return this.nested ? this.#find("nestedAbsmax") : this.code; }
}

/** A float32 matrix that is a page, somewhere else each time. */
export class PagedDense implements DenseWeight {
  readonly kind = "dense";
  readonly out: number;
  readonly in: number;
  readonly #find: () => Tensor;

  constructor(out: number, width: number, find: () => Tensor) {
    this.out = out;
    this.in = width;
    this.#find = find;
  }

  get values(): Tensor { return this.#find(); }
}

/** The tensors that are this weight's alone or shared with other weights; frames are the pager's. */
export function ownTensors(weight: Weight): Tensor[] {
  if (weight.kind === "dense") return [weight.values];
  const { code, nestedCode } = weight;
  return weight instanceof PagedWeight ? [code, nestedCode] : [weight.packed, weight.absmax, code, weight.nestedAbsmax, nestedCode];
}

/** Outputs of a dense matrix that its gradient goes through at once: a head's would be a few very long tiles that read W in narrow columns. */
const PIECE = 2048;

/** y[m, out] = x[m, in] · Wᵀ */
export function multiply(device: Device, weight: Weight, x: Tensor, y: Tensor, m: number): void {
  const sizes = { m, n: weight.out, k: weight.in, accumulate: 0 };
  if (weight.kind === "dense") device.run(matmulNt, { x, w: weight.values, y }, sizes);
  else device.run(matmulNf4Nt, { x, ...constants(weight), y }, { ...sizes, ...scalars(weight) });
}

/**
 * dx[m, in] = dy[m, out] · W, added to what dx holds when `accumulate`. Sums over a dense matrix run through `slice`
 * outputs after the other, the last slice first: as they come when the slices are pages.
 */
export function multiplyBackward(device: Device, weight: Weight, dy: Tensor, dx: Tensor, m: number, accumulate: boolean, slice = weight.out): void {
  if (weight.kind === "dense") multiplyBackwardDense(device, weight, dy, dx, m, accumulate, slice);
  else device.run(matmulNf4Nn, { dy, ...constants(weight), dx }, { m, n: weight.out, k: weight.in, accumulate: accumulate ? 1 : 0, ...scalars(weight) });
}

function multiplyBackwardDense(device: Device, { values, out, in: n }: DenseWeight, dy: Tensor, dx: Tensor, m: number, accumulate: boolean, slice: number): void {
  let add = accumulate ? 1 : 0;
  for (let first = Math.floor((out - 1) / slice) * slice; first >= 0; first -= slice) {
    const end = Math.min(first + slice, out);
    for (let from = first; from < end; from += PIECE) {
      const k = Math.min(PIECE, end - from);
      const operands = { x: viewTensor(dy, [(m - 1) * out + k], from), w: viewTensor(values, [k, n], from * n), y: dx };
      device.run(matmulNn, operands, { m, n, k, xStride: out, accumulate: add });
      add = 1;
    }
  }
}

type Constants = Pick<QuantizedWeight, "packed" | "absmax" | "code" | "nestedAbsmax" | "nestedCode">;

function constants({ packed, absmax, code, nestedAbsmax, nestedCode }: QuantizedWeight): Constants {
  return { packed, absmax, code, nestedAbsmax, nestedCode };
}

function scalars(w: QuantizedWeight): { blocksize: number; nested: number; nestedOffset: number; round: number } {
  return { blocksize: w.blocksize, nested: w.nested ? 1 : 0, nestedOffset: w.nestedOffset, round: 0 };
}
