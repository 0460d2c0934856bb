import arithmetic from "../../gpu/lib/arithmetic.wgsl";
import blocks from "../../gpu/lib/blocks.wgsl";
import denseB from "../../gpu/lib/dense-b.wgsl";
import exp from "../../gpu/lib/exp.wgsl";
import gemmRow from "../../gpu/lib/gemm-row.wgsl";
import gemm from "../../gpu/lib/gemm.wgsl";
import grid from "../../gpu/lib/grid.wgsl";
import half from "../../gpu/lib/half.wgsl";
import levels from "../../gpu/lib/levels.wgsl";
import philox from "../../gpu/lib/philox.wgsl";
import product from "../../gpu/lib/product.wgsl";
import reduce from "../../gpu/lib/reduce.wgsl";
import weights4bit from "../../gpu/lib/weights-4bit.wgsl";
import type { GpuPass, GpuSource, Params } from "../op.ts";

// Shared parts of shaders, by file.
export const GRID: GpuSource = { file: "gpu/lib/grid.wgsl", text: grid };
export const EXP: GpuSource = { file: "gpu/lib/exp.wgsl", text: exp };
export const HALF: GpuSource = { file: "gpu/lib/half.wgsl", text: half };
const PRODUCT: GpuSource = { file: "gpu/lib/product.wgsl", text: product };
export const PHILOX: readonly GpuSource[] = [PRODUCT, { file: "gpu/lib/philox.wgsl", text: philox }];
/** Exact f32 arithmetic on bits. */
export const ARITHMETIC: readonly GpuSource[] = [PRODUCT, { file: "gpu/lib/arithmetic.wgsl", text: arithmetic }];
const BLOCKS: GpuSource = { file: "gpu/lib/blocks.wgsl", text: blocks };
export const LEVELS: GpuSource = { file: "gpu/lib/levels.wgsl", text: levels };
export const REDUCE: GpuSource = { file: "gpu/lib/reduce.wgsl", text: reduce };
const GEMM: GpuSource = { file: "gpu/lib/gemm.wgsl", text: gemm };
const GEMM_ROW: GpuSource = { file: "gpu/lib/gemm-row.wgsl", text: gemmRow };
export const DENSE_B: GpuSource = { file: "gpu/lib/dense-b.wgsl", text: denseB };
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

const FEW_ROWS = 4;

/** A product of rows × columns: tiles of 32 × 32, or of 4 × 64 when there are few rows. The sums are the same. */
export function gemmPasses<P extends string>(rows: (params: Params<P>) => number, columns: (params: Params<P>) => number, ...lib: GpuSource[]): GpuPass<never, P>[] {
  const few = (params: Params<P>): boolean => rows(params) <= FEW_ROWS;
  return [
    { entry: "main", lib: [GRID, GEMM_ROW, ...lib], workgroups: (p) => (few(p) ? Math.ceil(rows(p) / 4) * Math.ceil(columns(p) / 64) : 0) },
    { entry: "main", lib: [GRID, GEMM, ...lib], workgroups: (p) => (few(p) ? 0 : Math.ceil(rows(p) / 32) * Math.ceil(columns(p) / 32)) },
  ];
}
