import { bytesOf } from "../dtype.ts";
import type { Op, Operands, Params } from "../op.ts";
import { elementsOf, viewTensor, type Tensor } from "../tensor.ts";
import type { Commands } from "./commands.ts";
import type { GpuBuffer, GpuMemory } from "./memory.ts";

type Launch = (operands: Operands, params: Params) => void;

const UNIT = 64; // so many rows of words begin where any GPU lets a binding begin

/** Cuts a call with operands larger than one binding may be, as the contract's `rows` and `split` say. */
export class Split {
  readonly #memory: GpuMemory;
  readonly #commands: Commands;
  readonly #largest: number;
  #spare: GpuBuffer | undefined;

  constructor(memory: GpuMemory, commands: Commands, largest: number) {
    this.#memory = memory;
    this.#commands = commands;
    this.#largest = largest;
  }

  /** Calls `launch` once, or once for each piece, in order. */
  run(op: Op, operands: Operands, params: Params, launch: Launch): void {
    const { rows, addsRows } = op.gpu ?? {};
    const most = rows === undefined ? Infinity : this.#mostRows(op, operands, params, rows);
    if (rows === undefined || params[rows] <= most || most === 0) return this.#serving(op, operands, params, launch);
    for (let begin = 0; begin < params[rows]; begin += most) {
      const call = { ...params, [rows]: Math.min(most, params[rows] - begin), ...(addsRows && begin > 0 && { accumulate: 1 }) };
      const before = (count: number, { shape }: (typeof op.operands)[number]): number => elementsOf(shape({ ...params, [rows]: count }));
      const piece = op.operands.map((operand) => [operand.name, viewTensor(operands[operand.name], operand.shape(call), before(begin + 1, operand) - before(1, operand))]);
      this.#serving(op, Object.fromEntries(piece) as Operands, call, launch);
    }
  }

  /** Of how many rows each operand can be seen at once. */
  #mostRows(op: Op, operands: Operands, params: Params, rows: string): number {
    const unit = op.gpu?.rowsUnit ?? UNIT;
    let most = Infinity;
    for (const { name, shape } of op.operands) {
      const bytes = (count: number): number => elementsOf(shape({ ...params, [rows]: count })) * bytesOf(operands[name].dtype);
      const ofUnit = bytes(2 * unit) - bytes(unit);
      if (bytes(params[rows]) > this.#largest && ofUnit > 0) most = Math.min(most, Math.floor(this.#largest / ofUnit) * unit);
    }
    return most;
  }

  /** The operand that serves all rows in pieces, if it is that large. */
  #serving(op: Op, operands: Operands, params: Params, launch: Launch): void {
    const { split } = op.gpu ?? {};
    if (!split) return launch(operands, params);
    const large = operands[split.operand];
    const rows = split.rows(params);
    const width = elementsOf(op.operands.find(({ name }) => name === split.operand)!.shape(params)) / Math.max(1, rows);
    const most = Math.floor(this.#largest / (width * bytesOf(large.dtype)) / UNIT) * UNIT;
    if (rows <= most || most === 0) return launch(operands, params);
    for (let begin = 0; begin < rows; begin += most) {
      const end = Math.min(begin + most, rows);
      const piece = { ...operands, [split.operand]: viewTensor(large, [end - begin, width], begin * width) };
      const call = split.piece(params, begin, end);
      if (split.columns) this.#columns(op, piece, split.columns, { begin, count: end - begin, rows, lines: elementsOf(op.operands.find(({ name }) => name === split.columns)!.shape(params)) / rows }, (all) => launch(all, call));
      else launch(piece, call);
    }
  }

  /** The piece computes into a spare matrix, which is copied to and from its columns of the whole output. */
  #columns(op: Op, operands: Operands, name: string, { begin, count, rows, lines }: { begin: number; count: number; rows: number; lines: number }, launch: (operands: Operands) => void): void {
    const whole = operands[name];
    const spare: Tensor = { ...whole, label: `${op.name} columns`, shape: [lines, count], byteOffset: 0, buffer: this.#spareOf(4 * lines * count) };
    const copy = (toSpare: boolean): void => {
      for (let line = 0; line < lines; line++) {
        const [from, to] = [whole.byteOffset + 4 * (line * rows + begin), 4 * line * count];
        if (toSpare) this.#commands.copy(whole.buffer as GpuBuffer, from, spare.buffer as GpuBuffer, to, 4 * count);
        else this.#commands.copy(spare.buffer as GpuBuffer, to, whole.buffer as GpuBuffer, from, 4 * count);
      }
    };
    copy(true);
    launch({ ...operands, [name]: spare });
    copy(false);
  }

  #spareOf(bytes: number): GpuBuffer {
    if (this.#spare && this.#spare.bytes >= bytes) return this.#spare;
    if (this.#spare) this.#commands.free(this.#spare);
    return this.#spare = this.#memory.allocate(bytes, "own", "columns of a split product");
  }
}
