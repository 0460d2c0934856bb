import arithmetic from "../../gpu/lib/arithmetic.wgsl";
import blocks from "../../gpu/lib/blocks.wgsl";
import exact4bit from "../../gpu/lib/exact-4bit.wgsl";
import exp from "../../gpu/lib/exp.wgsl";
import gemmRow from "../../gpu/lib/gemm-row.wgsl";
import gemm from "../../gpu/lib/gemm.wgsl";
import gemmRegisters from "../../gpu/lib/gemm-registers.wgsl";
import gemmStationary from "../../gpu/lib/gemm-stationary.wgsl";
import grid from "../../gpu/lib/grid.wgsl";
import half from "../../gpu/lib/half.wgsl";
import levels from "../../gpu/lib/levels.wgsl";
import outElements from "../../gpu/lib/out-elements.wgsl";
import outLines from "../../gpu/lib/out-lines.wgsl";
import philox from "../../gpu/lib/philox.wgsl";
import product from "../../gpu/lib/product.wgsl";
import reduce from "../../gpu/lib/reduce.wgsl";
import squares from "../../gpu/lib/squares.wgsl";
import weights4bit from "../../gpu/lib/weights-4bit.wgsl";
import { TILINGS, type GpuPass, type GpuSource, type Params, type Tiling } from "../op.ts";

// Shared parts of shaders, by file.
export const GRID: GpuSource = { file: "gpu/lib/grid.wgsl", text: grid };
export const EXP: GpuSource = { file: "gpu/lib/exp.wgsl", text: exp };
export const HALF: GpuSource = { file: "gpu/lib/half.wgsl", text: half };
const PRODUCT: GpuSource = { file: "gpu/lib/product.wgsl", text: product };
export const PHILOX: readonly GpuSource[] = [PRODUCT, { file: "gpu/lib/philox.wgsl", text: philox }];
/** Exact f32 arithmetic on bits. */
export const ARITHMETIC: readonly GpuSource[] = [PRODUCT, { file: "gpu/lib/arithmetic.wgsl", text: arithmetic }];
/** For decoding 4 bits by it. */
export const EXACT_4BIT: GpuSource = { file: "gpu/lib/exact-4bit.wgsl", text: exact4bit };
const BLOCKS: GpuSource = { file: "gpu/lib/blocks.wgsl", text: blocks };
export const LEVELS: GpuSource = { file: "gpu/lib/levels.wgsl", text: levels };
export const REDUCE: GpuSource = { file: "gpu/lib/reduce.wgsl", text: reduce };
const GEMM: GpuSource = { file: "gpu/lib/gemm.wgsl", text: gemm };
const GEMM_ROW: GpuSource = { file: "gpu/lib/gemm-row.wgsl", text: gemmRow };
const GEMM_REGISTERS: GpuSource = { file: "gpu/lib/gemm-registers.wgsl", text: gemmRegisters };
const GEMM_STATIONARY: GpuSource = { file: "gpu/lib/gemm-stationary.wgsl", text: gemmStationary };
const OUT_ELEMENTS: GpuSource = { file: "gpu/lib/out-elements.wgsl", text: outElements };
const OUT_LINES: GpuSource = { file: "gpu/lib/out-lines.wgsl", text: outLines };
const SQUARES: GpuSource = { file: "gpu/lib/squares.wgsl", text: squares };
export const WEIGHTS_4BIT: GpuSource = { file: "gpu/lib/weights-4bit.wgsl", text: weights4bit };

/** Elements that a workgroup of an elementwise shader owns; gpu/lib/grid.wgsl has the same number. */
const ELEMENTS = 1024;

/** One invocation an element: shaders that loop as gpu/lib/grid.wgsl says. */
export function elementwise<P extends string>(elements: (params: Params<P>) => number, ...lib: GpuSource[]): GpuPass<never, P>[] {
  return [{ entry: "main", lib: [GRID, ...lib], workgroups: (params) => Math.ceil(elements(params) / ELEMENTS) }];
}

/** A workgroup 4096 elements, whole blocks: shaders that divide work as gpu/lib/blocks.wgsl says. */
export function blockwise(...lib: GpuSource[]): GpuPass<never, "n">[] {
  return [{ entry: "main", lib: [GRID, ...ARITHMETIC, BLOCKS, ...lib], workgroups: ({ n }) => Math.ceil(n / 4096) }];
}

/** One workgroup a row. */
export function rowwise<P extends string>(rows: (params: Params<P>) => number, ...lib: GpuSource[]): GpuPass<never, P>[] {
  return [{ entry: "main", lib: [GRID, REDUCE, ...lib], workgroups: rows }];
}

/** Invocations of a workgroup, and what they own of y together. */
interface Cut { readonly lib: GpuSource; readonly constants: Readonly<Record<string, number>>; readonly rows: number; readonly columns: number }

const CUTS: Readonly<Record<Tiling, Cut>> = {
  registers: { lib: GEMM_REGISTERS, constants: { ACROSS: 4, DOWN: 16 }, rows: 128, columns: 16 },
  workgroup: { lib: GEMM, constants: { ACROSS: 8, DOWN: 8 }, rows: 64, columns: 32 },
  large: { lib: GEMM, constants: { ACROSS: 16, DOWN: 16 }, rows: 128, columns: 64 },
};
export const STATIONARY: Cut = { lib: GEMM_STATIONARY, constants: { ACROSS: 16 }, rows: 256, columns: 64 };
const ROW: Cut = { lib: GEMM_ROW, constants: {}, rows: 4, columns: 64 };
const FEW_ROWS = 4;

interface Product<P extends string> {
  readonly rows: (params: Params<P>) => number;
  readonly columns: (params: Params<P>) => number;
  /** Lengths that are multiples of 4 when every line of four begins at one: of what is contiguous, of a row of y, and of the depth. */
  readonly lengths: (params: Params<P>) => readonly number[];
  /** For `registers`: another shader where its condition holds. */
  readonly special?: { readonly cut: Cut; readonly when: (params: Params<P>) => boolean };
}

/**
 * A matrix product: rows of 4 × 64 when there are few, else one of the tilings; `workgroup` with element by element access
 * where lines do not begin at multiples of 4. The sums are the same.
 */
export function gemmPasses<P extends string>({ rows, columns, lengths, special }: Product<P>, ...lib: GpuSource[]): GpuPass<never, P>[] {
  const aligned = (p: Params<P>): boolean => lengths(p).every((length) => length % 4 === 0);
  const few = (p: Params<P>): boolean => aligned(p) && rows(p) <= FEW_ROWS;
  const pass = (cut: Cut, whole: boolean, out: GpuSource, when: (p: Params<P>) => boolean, tiling?: Tiling): GpuPass<never, P> => ({
    entry: "main", lib: [GRID, SQUARES, out, cut.lib, ...lib], constants: { ALIGNED: whole ? 1 : 0, ...cut.constants }, ...(tiling && { tiling }),
    workgroups: (p) => (when(p) ? Math.ceil(rows(p) / cut.rows) * Math.ceil(columns(p) / cut.columns) : 0),
  });
  const isSpecial = (p: Params<P>, tiling: Tiling): boolean => tiling === "registers" && special !== undefined && special.when(p);
  return [
    ...TILINGS.flatMap((tiling) => [
      pass(ROW, true, OUT_ELEMENTS, (p) => few(p) && !isSpecial(p, tiling), tiling),
      pass(CUTS[tiling], true, OUT_LINES, (p) => aligned(p) && !few(p) && !isSpecial(p, tiling), tiling),
    ]),
    ...(special ? [pass(special.cut, true, OUT_LINES, special.when, "registers")] : []),
    pass(CUTS.workgroup, false, OUT_ELEMENTS, (p) => !aligned(p)),
  ];
}
