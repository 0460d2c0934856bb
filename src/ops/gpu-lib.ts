import arithmetic from "../../gpu/lib/arithmetic.wgsl";
import blocks from "../../gpu/lib/blocks.wgsl";
import enableF16 from "../../gpu/lib/enable-f16.wgsl";
import enableSubgroups from "../../gpu/lib/enable-subgroups.wgsl";
import exact4bit from "../../gpu/lib/exact-4bit.wgsl";
import exp from "../../gpu/lib/exp.wgsl";
import gemmRow from "../../gpu/lib/gemm-row.wgsl";
import gemmRowSubgroups from "../../gpu/lib/gemm-row-subgroups.wgsl";
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
import reduceSubgroups from "../../gpu/lib/reduce-subgroups.wgsl";
import squares from "../../gpu/lib/squares.wgsl";
import tilesF16 from "../../gpu/lib/tiles-f16.wgsl";
import tilesF16Right from "../../gpu/lib/tiles-f16-right.wgsl";
import tilesF32 from "../../gpu/lib/tiles-f32.wgsl";
import weights4bit from "../../gpu/lib/weights-4bit.wgsl";
import { tilingsOf, type GpuPass, type GpuSource, type Params, type Tiling } from "../op.ts";

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
// What enables a feature of the adapter comes before everything else of a shader.
const ENABLE_F16: GpuSource = { file: "gpu/lib/enable-f16.wgsl", text: enableF16 };
const ENABLE_SUBGROUPS: GpuSource = { file: "gpu/lib/enable-subgroups.wgsl", text: enableSubgroups };
const REDUCE: GpuSource = { file: "gpu/lib/reduce.wgsl", text: reduce };
const REDUCE_SUBGROUPS: GpuSource = { file: "gpu/lib/reduce-subgroups.wgsl", text: reduceSubgroups };
const GEMM: GpuSource = { file: "gpu/lib/gemm.wgsl", text: gemm };
const GEMM_ROW: GpuSource = { file: "gpu/lib/gemm-row.wgsl", text: gemmRow };
const GEMM_ROW_SUBGROUPS: GpuSource = { file: "gpu/lib/gemm-row-subgroups.wgsl", text: gemmRowSubgroups };
const GEMM_REGISTERS: GpuSource = { file: "gpu/lib/gemm-registers.wgsl", text: gemmRegisters };
const GEMM_STATIONARY: GpuSource = { file: "gpu/lib/gemm-stationary.wgsl", text: gemmStationary };
const OUT_ELEMENTS: GpuSource = { file: "gpu/lib/out-elements.wgsl", text: outElements };
const OUT_LINES: GpuSource = { file: "gpu/lib/out-lines.wgsl", text: outLines };
const SQUARES: GpuSource = { file: "gpu/lib/squares.wgsl", text: squares };
const TILES_F32: GpuSource = { file: "gpu/lib/tiles-f32.wgsl", text: tilesF32 };
const TILES_F16: GpuSource = { file: "gpu/lib/tiles-f16.wgsl", text: tilesF16 };
const TILES_F16_RIGHT: GpuSource = { file: "gpu/lib/tiles-f16-right.wgsl", text: tilesF16Right };
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

/** One workgroup a row, whose sums subgroups may add up. */
export function rowwise<P extends string>(rows: (params: Params<P>) => number, ...lib: GpuSource[]): GpuPass<never, P>[] {
  return [
    { entry: "main", lib: [GRID, REDUCE, ...lib], variants: { subgroups: false }, workgroups: rows },
    { entry: "main", lib: [ENABLE_SUBGROUPS, GRID, REDUCE_SUBGROUPS, ...lib], variants: { subgroups: true }, workgroups: rows },
  ];
}

/** Invocations of a workgroup, and what they own of y together. */
interface Cut { readonly lib: GpuSource; readonly constants: Readonly<Record<string, number>>; readonly rows: number; readonly columns: number }

const CUTS: Readonly<Record<Tiling, Cut>> = {
  registers: { lib: GEMM_REGISTERS, constants: { ACROSS: 16 }, rows: 8, columns: 128 },
  workgroup: { lib: GEMM, constants: { ACROSS: 8, DOWN: 8 }, rows: 64, columns: 32 },
  large: { lib: GEMM, constants: { ACROSS: 16, DOWN: 16 }, rows: 128, columns: 64 },
};
export const STATIONARY: Cut = { lib: GEMM_STATIONARY, constants: { ACROSS: 16 }, rows: 256, columns: 128 };
const ROW: Cut = { lib: GEMM_ROW, constants: {}, rows: 4, columns: 64 };
const ROW_SUBGROUPS: Cut = { lib: GEMM_ROW_SUBGROUPS, constants: {}, rows: 4, columns: 4 };
const FEW_ROWS = 4;

interface Product<P extends string> {
  readonly rows: (params: Params<P>) => number;
  readonly columns: (params: Params<P>) => number;
  /** Lengths that are multiples of 4 when every line of four begins at one: of what is contiguous, of a row of y, and of the depth. */
  readonly lengths: (params: Params<P>) => readonly number[];
  /** x · wᵀ, a forward pass: w is contiguous along the depth, and x holds no gradients. */
  readonly transposed?: boolean;
  /** For `registers`: another shader, where its condition holds. Others are then left to the slowest: they do not occur in models, and each costs seconds to compile. */
  readonly special?: { readonly cut: Cut; readonly when: (params: Params<P>) => boolean };
}

/**
 * A matrix product: rows of 4 × 64 when there are few, else one of the tilings; `workgroup` with element by element access
 * where lines do not begin at multiples of 4. The sums are the same for all tilings. With `f16` what passes through
 * workgroup memory is rounded; with `subgroups` few rows of a transposed product are added up in another order.
 */
export function gemmPasses<P extends string>({ rows, columns, lengths, transposed = false, special }: Product<P>, ...lib: GpuSource[]): GpuPass<never, P>[] {
  type When = (p: Params<P>) => boolean;
  const aligned: When = (p) => lengths(p).every((length) => length % 4 === 0);
  const few: When = (p) => aligned(p) && rows(p) <= FEW_ROWS;
  const pass = (cut: Cut, first: readonly GpuSource[], out: GpuSource, on: Pick<GpuPass, "tiling" | "variants">, when: When): GpuPass<never, P> => ({
    entry: "main", lib: [...first, GRID, SQUARES, out, cut.lib, ...lib], constants: { ALIGNED: 1, ...cut.constants }, ...on,
    workgroups: (p) => (when(p) ? Math.ceil(rows(p) / cut.rows) * Math.ceil(columns(p) / cut.columns) : 0),
  });
  const withVariants = (f16: boolean, subgroups: boolean): GpuPass<never, P>[] => {
    const variants = { f16, ...(transposed && { subgroups }) };
    const tiles = f16 ? [ENABLE_F16, transposed ? TILES_F16 : TILES_F16_RIGHT] : [TILES_F32];
    return tilingsOf(f16 ? ["f16"] : []).flatMap((tiling) => {
      const on = { tiling, variants };
      const own = tiling === "registers" ? special : undefined;
      const row = subgroups ? pass(ROW_SUBGROUPS, [ENABLE_SUBGROUPS], OUT_LINES, on, few) : own ? undefined : pass(ROW, tiles, OUT_ELEMENTS, on, few);
      const free: When = (p) => !row || !few(p);
      const whole: When = own?.when ?? aligned;
      const rest = pass(CUTS.workgroup, tiles, OUT_ELEMENTS, on, (p) => free(p) && !whole(p));
      return [
        ...(row ? [row] : []),
        pass(own?.cut ?? CUTS[tiling], tiles, OUT_LINES, on, (p) => free(p) && whole(p)),
        { ...rest, constants: { ...rest.constants, ALIGNED: 0 } },
      ];
    });
  };
  return (transposed ? [false, true] : [false]).flatMap((subgroups) => [...withVariants(false, subgroups), ...withVariants(true, subgroups)]);
}
