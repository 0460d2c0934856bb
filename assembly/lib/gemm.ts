import { decodeColumns, decodeTransposed } from "./panel-4bit";
import { Weights4 } from "./decode-4bit";
import { row1 } from "./gemm-rows";
import { gemv4bit, gemvF32 } from "./gemv";
import { multiplyRows, nextRows, packPanels, packRows, packTransposed, PANEL_COLUMNS, ROW_GROUP } from "./panel";

/** How the right operand is stored. */
export const TRANSPOSED = 0; // f32[n, k]
export const PLAIN = 1; // f32[k, n]
export const TRANSPOSED_4BIT = 2; // Weights4 of [n, k]
export const PLAIN_4BIT = 3; // Weights4 of [k, n]

// A tile of y; the contracts in src/ops/gemm-tiles.ts have the same numbers.
const TILE_ROWS = 180; // whole groups of 6 and of 5
const TILE_COLUMNS = 64;
const BLOCK_K = 256; // k of the panels packed at once: 64 KiB, in the second-level cache beside the rows of a
const EDGE_BYTES: usize = 192; // 6 × 8 floats
const PANEL_BYTES: usize = BLOCK_K * PANEL_COLUMNS * 4 + 64; // not a power of two, or rows of all panels would share a cache set
const PANELS_BYTES: usize = PANEL_BYTES * (TILE_COLUMNS / PANEL_COLUMNS);

/** A tile is smaller when k is long: it should take about a millisecond. */
// @ts-ignore: decorator
@inline
function tileColumns(k: i32): i32 {
  return k <= 2048 ? TILE_COLUMNS : TILE_COLUMNS / 2;
}

// @ts-ignore: decorator
@inline
function tileRows(k: i32): i32 {
  return k <= 4096 ? TILE_ROWS : TILE_ROWS / 2;
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
  const height = tileRows(k);
  const across = (n + width - 1) / width;
  const yRow = <usize>n << 2;
  for (let tile = begin; tile < end; tile++) {
    const row = (tile / across) * height;
    const column = (tile % across) * width;
    const rows = min(height, m - row);
    const columns = min(width, n - column);
    const to = y + <usize>row * yRow + (<usize>column << 2);
    if (k == 0 && !accumulate) clear(to, yRow, rows, columns);
    if (m == 1 && (kind == TRANSPOSED || kind == TRANSPOSED_4BIT)) {
      const panels = scratch + EDGE_BYTES;
      if (kind == TRANSPOSED) gemvF32(x, right + <usize>column * (<usize>k << 2), columns, k, to, !accumulate, scratch, panels);
      else gemv4bit(x, changetype<Weights4>(right), column, columns, k, to, !accumulate, scratch, panels);
      continue;
    }
    for (let k0 = 0; k0 < k; k0 += BLOCK_K) {
      const depth = min(BLOCK_K, k - k0);
      const left = x + <usize>row * xRow + <usize>k0 * xStep;
      const fresh = k0 == 0 && !accumulate;
      fillPanels(kind, right, column, columns, n, k, k0, depth, scratch + EDGE_BYTES);
      if (xStep == 4) multiplyTile(left, xRow, 4, to, yRow, rows, columns, depth, fresh, scratch);
      else multiplyPacked(left, xStep, to, yRow, rows, columns, depth, fresh, scratch);
    }
  }
}

/** panels ← `columns` columns of the right operand, k0 … k0 + depth. */
// @ts-ignore: decorator
@inline
function fillPanels(kind: i32, right: usize, column: i32, columns: i32, n: i32, k: i32, k0: i32, depth: i32, panels: usize): void {
  const spare = panels + PANELS_BYTES;
  if (kind == PLAIN_4BIT) return decodeColumns(changetype<Weights4>(right), n, k0, depth, column, columns, panels, PANEL_BYTES, spare);
  if (kind == PLAIN) return packPanels(right + (<usize>k0 * <usize>n + <usize>column << 2), <usize>n << 2, columns, depth, panels, PANEL_BYTES);
  for (let j = 0; j < columns; j += PANEL_COLUMNS) {
    const wide = min(PANEL_COLUMNS, columns - j);
    if (kind == TRANSPOSED_4BIT) decodeTransposed(changetype<Weights4>(right), k, column + j, wide, k0, depth, panels, spare);
    else packTransposed(right + (<usize>(column + j) * <usize>k + <usize>k0 << 2), <usize>k << 2, wide, depth, panels);
    panels += PANEL_BYTES;
  }
}

/** All panels for one group of rows before the next: y and x are touched once, panels come from the second-level cache. */
function multiplyTile(x: usize, xRow: usize, xStep: usize, to: usize, yRow: usize, rows: i32, columns: i32, depth: i32, fresh: bool, scratch: usize): void {
  let left = rows;
  while (left > 0) {
    const group = nextRows(left);
    let panel = scratch + EDGE_BYTES;
    let j = 0;
    if (group == 1) {
      for (; j + 4 * PANEL_COLUMNS <= columns; j += 4 * PANEL_COLUMNS) {
        row1(x, xStep, panel, PANEL_BYTES, to + (<usize>j << 2), depth, fresh);
        panel += 4 * PANEL_BYTES;
      }
    }
    for (; j < columns; j += PANEL_COLUMNS) {
      multiplyRows(group, x, xRow, xStep, panel, 32, to + (<usize>j << 2), yRow, min(PANEL_COLUMNS, columns - j), depth, fresh, scratch);
      panel += PANEL_BYTES;
    }
    left -= group;
    x += <usize>group * xRow;
    to += <usize>group * yRow;
  }
}

/** The same where the k of a row of x lie `xStep` apart: a group's rows are brought together first. */
function multiplyPacked(x: usize, xStep: usize, to: usize, yRow: usize, rows: i32, columns: i32, depth: i32, fresh: bool, scratch: usize): void {
  const packed = scratch + EDGE_BYTES + PANELS_BYTES;
  const groupBytes = <usize>depth * ROW_GROUP * 4 + 64; // as PANEL_BYTES
  packRows(x, xStep, rows, depth, packed, groupBytes);
  for (let row = 0; row < rows; row += ROW_GROUP) {
    const group = min(ROW_GROUP, rows - row);
    multiplyTile(packed + <usize>(row / ROW_GROUP) * groupBytes, 4, ROW_GROUP * 4, to + <usize>row * yRow, yRow, group, columns, depth, fresh, scratch);
  }
}

function clear(to: usize, row: usize, rows: i32, columns: i32): void {
  for (let r = 0; r < rows; r++) memory.fill(to + <usize>r * row, 0, <usize>columns << 2);
}
