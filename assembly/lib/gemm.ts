import { decodeColumns, decodeTransposed, Weights4 } from "./weights-4bit";
import { multiplyPanel, packColumns, packTransposed, PANEL_COLUMNS } from "./panel";

/** How the right operand is stored. */
export const TRANSPOSED = 0; // f32[n, k]
export const PLAIN = 1; // f32[k, n]
export const TRANSPOSED_4BIT = 2; // Weights4 of [n, k]
export const PLAIN_4BIT = 3; // Weights4 of [k, n]

// A tile of y; the contracts in src/ops/gemm-tiles.ts have the same numbers.
const TILE_ROWS = 192;
const TILE_COLUMNS = 64;
const BLOCK_K = 256; // rows of a panel: 8 KiB, in the first-level cache beside the rows of a
const FEW_ROWS = 24; // up to here a plain right operand is read where it lies: packing would not pay
const EDGE_BYTES = 192; // 6 × 8 floats
const PANEL_BYTES: usize = BLOCK_K * PANEL_COLUMNS * 4;

/** Columns of y in one tile: fewer when k is long, so that a tile stays under a millisecond. */
// @ts-ignore: decorator
@inline
function tileColumns(k: i32): i32 {
  return k <= 2048 ? TILE_COLUMNS : k <= 4096 ? TILE_COLUMNS / 2 : TILE_COLUMNS / 4;
}

/**
 * y[m, n] (+)= x · right, tile by tile. `xRow` and `xStep` are the bytes from one row of x to the next and from one k
 * to the next; `right` is a pointer to f32 or to a Weights4. Every element of y accumulates over k in order, starting
 * from y itself when `accumulate`: tile sizes never change a bit.
 */
// @ts-ignore: decorator
@inline
export function gemm(
  kind: i32, x: usize, xRow: usize, xStep: usize, right: usize, y: usize,
  m: i32, n: i32, k: i32, accumulate: i32, begin: i32, end: i32, scratch: usize,
): void {
  const width = tileColumns(k);
  const across = (n + width - 1) / width;
  const yRow = <usize>n << 2;
  for (let tile = begin; tile < end; tile++) {
    const row = (tile / across) * TILE_ROWS;
    const column = (tile % across) * width;
    const rows = min(TILE_ROWS, m - row);
    const columns = min(width, n - column);
    const to = y + <usize>row * yRow + (<usize>column << 2);
    if (k == 0 && !accumulate) clear(to, yRow, rows, columns);
    for (let k0 = 0; k0 < k; k0 += BLOCK_K) {
      const depth = min(BLOCK_K, k - k0);
      gemmBlock(
        kind, x + <usize>row * xRow + <usize>k0 * xStep, xRow, xStep, right, to, yRow,
        rows, column, columns, n, k, k0, depth, k0 == 0 && !accumulate, scratch,
      );
    }
  }
}

/** One tile over one block of k. */
// @ts-ignore: decorator
@inline
function gemmBlock(
  kind: i32, x: usize, xRow: usize, xStep: usize, right: usize, to: usize, yRow: usize,
  rows: i32, column: i32, columns: i32, n: i32, k: i32, k0: i32, depth: i32, fresh: bool, scratch: usize,
): void {
  const panels = scratch + EDGE_BYTES;
  const spare = panels + PANEL_BYTES * (TILE_COLUMNS / PANEL_COLUMNS);
  if (kind == PLAIN_4BIT) decodeColumns(changetype<Weights4>(right), n, k0, depth, column, columns, panels, PANEL_BYTES, spare);
  for (let j = 0; j < columns; j += PANEL_COLUMNS) {
    const wide = min(PANEL_COLUMNS, columns - j);
    let panel = panels;
    let step: usize = PANEL_COLUMNS * 4;
    if (kind == PLAIN_4BIT) {
      panel += PANEL_BYTES * <usize>(j / PANEL_COLUMNS);
    } else if (kind == TRANSPOSED_4BIT) {
      decodeTransposed(changetype<Weights4>(right), k, column + j, wide, k0, depth, panel, spare);
    } else if (kind == TRANSPOSED) {
      packTransposed(right + (<usize>(column + j) * <usize>k + <usize>k0 << 2), <usize>k << 2, wide, depth, panel);
    } else {
      const from = right + (<usize>k0 * <usize>n + <usize>(column + j) << 2);
      if (wide == PANEL_COLUMNS && rows <= FEW_ROWS) {
        panel = from;
        step = <usize>n << 2;
      } else {
        packColumns(from, <usize>n << 2, wide, depth, panel);
      }
    }
    multiplyPanel(x, xRow, xStep, panel, step, to + (<usize>j << 2), yRow, rows, wide, depth, fresh, scratch);
  }
}

function clear(to: usize, row: usize, rows: i32, columns: i32): void {
  for (let r = 0; r < rows; r++) memory.fill(to + <usize>r * row, 0, <usize>columns << 2);
}
