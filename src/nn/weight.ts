import type { Device } from "../device.ts";
import { embedding, embedding4bit, matmulNf4Nn, matmulNf4Nt, matmulNn, matmulNt } from "../ops/index.ts";
import { NESTED_BLOCKSIZE } from "../ops/weights-4bit.ts";
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

/** y[rows, in] = the rows that `ids` names. */
export function lookUp(device: Device, table: Weight, ids: Tensor, y: Tensor, rows: number): void {
  const { out, in: width } = table;
  if (table.kind === "dense") device.run(embedding, { ids, table: table.values, y }, { rows, vocab: out, n: width, first: 0 });
  else device.run(embedding4bit, { ids, ...constants(table), y }, { rows, n: out, k: width, first: 0, ...scalars(table) });
}

/** y[m, out] = x[m, in] · Wᵀ */
export function multiply(device: Device, weight: Weight, x: Tensor, y: Tensor, m: number): void {
  const sizes = { m, n: weight.out, k: weight.in, accumulate: 0 };
  if (weight.kind === "dense") device.run(matmulNt, { x, w: weight.values, y }, sizes);
  else device.run(matmulNf4Nt, { x, ...constants(weight), y }, { ...sizes, ...scalars(weight) });
}

/** Outputs that a gradient goes through at once: a head in one piece would be a few very long tiles that read W in narrow columns. */
const PIECE = 2048;

/**
 * dx[m, in] = dy[m, out] · W, added to what dx holds when `accumulate`. Sums run through one `slice` of outputs after the
 * other, the last one first: as slices come that are pages. A slice is a multiple of `rowUnit(weight)`.
 */
export function multiplyBackward(device: Device, weight: Weight, dy: Tensor, dx: Tensor, m: number, accumulate: boolean, slice = weight.out): void {
  const { out, in: width } = weight;
  const unit = rowUnit(weight);
  const piece = Math.ceil(PIECE / unit) * unit;
  let add = accumulate ? 1 : 0;
  for (let first = Math.floor((out - 1) / slice) * slice; first >= 0; first -= slice) {
    const end = Math.min(first + slice, out);
    for (let from = first; from < end; from += piece) {
      const rows = Math.min(piece, end - from);
      const part = viewTensor(dy, [(m - 1) * out + rows], from);
      if (weight.kind === "dense") device.run(matmulNn, { x: part, w: viewTensor(weight.values, [rows, width], from * width), y: dx }, { m, n: width, k: rows, xStride: out, accumulate: add });
      else device.run(matmulNf4Nn, { dy: part, ...constants(rowsOf(weight, from, rows)), dx }, { m, n: rows, k: width, dyStride: out, ...scalars(weight), accumulate: add });
      add = 1;
    }
  }
}

/** In a multiple of so many rows constants begin: with double quantization those of 256 blocks. */
export function rowUnit(weight: Weight): number {
  if (weight.kind === "dense") return 1;
  const unit = weight.blocksize * (weight.nested ? NESTED_BLOCKSIZE : 1);
  return unit / greatestCommonDivisor(unit, weight.in);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

/** The same matrix from row `from` on, which is a multiple of its `rowUnit`. */
function rowsOf(weight: QuantizedWeight, from: number, rows: number): QuantizedWeight {
  const { in: width, blocksize, nested } = weight;
  const tail = (tensor: Tensor, weights: number): Tensor => viewTensor(tensor, [Math.ceil((rows * width) / weights)], (from * width) / weights);
  const { code } = weight;
  return {
    kind: "4bit", out: rows, in: width, blocksize, nested, nestedOffset: weight.nestedOffset, code, nestedCode: weight.nestedCode,
    packed: tail(weight.packed, 2), absmax: tail(weight.absmax, blocksize), nestedAbsmax: nested ? tail(weight.nestedAbsmax, blocksize * NESTED_BLOCKSIZE) : code,
  };
}

type Constants = Pick<QuantizedWeight, "packed" | "absmax" | "code" | "nestedAbsmax" | "nestedCode">;

function constants({ packed, absmax, code, nestedAbsmax, nestedCode }: QuantizedWeight): Constants {
  return { packed, absmax, code, nestedAbsmax, nestedCode };
}

function scalars(w: QuantizedWeight): { blocksize: number; nested: number; nestedOffset: number; round: number } {
  return { blocksize: w.blocksize, nested: w.nested ? 1 : 0, nestedOffset: w.nestedOffset, round: 0 };
}
