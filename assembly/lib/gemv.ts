// One row of y = x · Wᵀ, what generation spends its time in: nothing is worth packing for a single row.
// Sums run over k in order, as in gemm-rows.ts, so the bits are those of a row among many.
import { Weights4 } from "./decode-4bit";
import { row1 } from "./gemm-rows";
import { decodeTransposed } from "./panel-4bit";
import { packTransposed, multiplyRows, PANEL_COLUMNS } from "./panel";
import { madd } from "./simd";

const WIDE = 4 * PANEL_COLUMNS; // what row1 takes
const BLOCK_K = 64; // four panels in the first-level cache, and a quarter less time than 128 on weights that come from memory
const PANEL_BYTES: usize = BLOCK_K * PANEL_COLUMNS * 4 + 64;

/** y[columns] (+)= x · W[column …, k]ᵀ of 4-bit weights. `edge`: 6 × 8 floats; `panels`: those of a tile and spare room. */
export function gemv4bit(x: usize, w: Weights4, column: i32, columns: i32, k: i32, y: usize, fresh: bool, edge: usize, panels: usize): void {
  const spare = panels + 4 * PANEL_BYTES;
  for (let j = 0; j < columns; j += WIDE) {
    const wide = min(WIDE, columns - j);
    const to = y + (<usize>j << 2);
    for (let k0 = 0; k0 < k; k0 += BLOCK_K) {
      const depth = min(BLOCK_K, k - k0);
      const from = x + (<usize>k0 << 2);
      const first = fresh && k0 == 0;
      for (let p = 0; p < wide; p += PANEL_COLUMNS) {
        decodeTransposed(w, k, column + j + p, min(PANEL_COLUMNS, wide - p), k0, depth, panels + <usize>(p / PANEL_COLUMNS) * PANEL_BYTES, spare);
      }
      if (wide == WIDE) row1(from, 4, panels, PANEL_BYTES, to, depth, first);
      else for (let p = 0; p < wide; p += PANEL_COLUMNS) {
        multiplyRows(1, from, 0, 4, panels + <usize>(p / PANEL_COLUMNS) * PANEL_BYTES, 32, to + (<usize>p << 2), 0, min(PANEL_COLUMNS, wide - p), depth, first, edge);
      }
    }
  }
}

/** The same of f32 weights at `w`, read once and never copied; `panel`: f32[k][8] for what is left of 16 columns or 4 k. */
export function gemvF32(x: usize, w: usize, columns: i32, k: i32, y: usize, fresh: bool, edge: usize, panel: usize): void {
  const row = <usize>k << 2;
  let j = 0;
  if (k % 4 == 0) for (; j + 16 <= columns; j += 16) columns16(x, w + <usize>j * row, row, y + (<usize>j << 2), fresh);
  for (; j < columns; j += PANEL_COLUMNS) {
    const wide = min(PANEL_COLUMNS, columns - j);
    const to = y + (<usize>j << 2);
    for (let k0 = 0; k0 < k; k0 += BLOCK_K) {
      const depth = min(BLOCK_K, k - k0);
      packTransposed(w + <usize>j * row + (<usize>k0 << 2), row, wide, depth, panel);
      multiplyRows(1, x + (<usize>k0 << 2), 0, 4, panel, 32, to, 0, wide, depth, fresh && k0 == 0, edge);
    }
  }
}

function columns16(x: usize, w: usize, row: usize, y: usize, fresh: bool): void {
  const row4 = row << 2;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0;
  if (!fresh) { s0 = v128.load(y); s1 = v128.load(y, 16); s2 = v128.load(y, 32); s3 = v128.load(y, 48); }
  const end = x + row;
  for (; x < end; x += 16, w += 16) {
    s0 = columns4(x, w, row, s0);
    s1 = columns4(x, w + row4, row, s1);
    s2 = columns4(x, w + row4 * 2, row, s2);
    s3 = columns4(x, w + row4 * 3, row, s3);
  }
  v128.store(y, s0); v128.store(y, s1, 16); v128.store(y, s2, 32); v128.store(y, s3, 48);
}

/** Four k of four rows of W, turned into columns in registers. */
// @ts-ignore: decorator
@inline
function columns4(x: usize, w: usize, row: usize, sum: v128): v128 {
  const r0 = v128.load(w), r1 = v128.load(w + row), r2 = v128.load(w + row * 2), r3 = v128.load(w + row * 3);
  const a = i8x16.shuffle(r0, r1, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const b = i8x16.shuffle(r0, r1, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  const c = i8x16.shuffle(r2, r3, 0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23);
  const d = i8x16.shuffle(r2, r3, 8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31);
  sum = madd(v128.load32_splat(x), i8x16.shuffle(a, c, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), sum);
  sum = madd(v128.load32_splat(x, 4), i8x16.shuffle(a, c, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), sum);
  sum = madd(v128.load32_splat(x, 8), i8x16.shuffle(b, d, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23), sum);
  return madd(v128.load32_splat(x, 12), i8x16.shuffle(b, d, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31), sum);
}
