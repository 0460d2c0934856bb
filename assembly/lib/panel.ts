import { transpose4 } from "./simd";
import { rows1, rows2, rows4, rows5, rows6 } from "./gemm-rows";

/** A panel is 8 columns of the right operand as f32[k][8]; zeros beyond the last one, where denormals would be slow. */
export const PANEL_COLUMNS = 8;

/** panel ← the transpose of `columns` rows of `from`, each `k` long and `row` bytes apart. */
export function packTransposed(from: usize, row: usize, columns: i32, k: i32, panel: usize): void {
  if (columns < PANEL_COLUMNS) {
    memory.fill(panel, 0, <usize>k << 5);
    for (let j = 0; j < columns; j++) transposeTail(from + <usize>j * row, panel + (<usize>j << 2), 0, k);
    return;
  }
  const f1 = from + row, f2 = f1 + row, f3 = f2 + row, f4 = f3 + row, f5 = f4 + row, f6 = f5 + row, f7 = f6 + row;
  const whole = k & ~3;
  for (let i = 0; i < whole; i += 4) {
    const at = <usize>i << 2;
    const to = panel + (<usize>i << 5);
    transpose4(v128.load(from + at), v128.load(f1 + at), v128.load(f2 + at), v128.load(f3 + at), to, 32);
    transpose4(v128.load(f4 + at), v128.load(f5 + at), v128.load(f6 + at), v128.load(f7 + at), to + 16, 32);
  }
  for (let j = 0; j < PANEL_COLUMNS; j++) transposeTail(from + <usize>j * row, panel + (<usize>j << 2), whole, k);
}

// @ts-ignore: decorator
@inline
function transposeTail(from: usize, to: usize, begin: i32, end: i32): void {
  for (let i = begin; i < end; i++) store<f32>(to + (<usize>i << 5), load<f32>(from + (<usize>i << 2)));
}

/** panel ← `columns` columns of `k` rows of `from`, `row` bytes apart. */
export function packColumns(from: usize, row: usize, columns: i32, k: i32, panel: usize): void {
  if (columns == PANEL_COLUMNS) {
    for (let i = 0; i < k; i++) {
      v128.store(panel, v128.load(from));
      v128.store(panel, v128.load(from, 16), 16);
      from += row;
      panel += 32;
    }
    return;
  }
  memory.fill(panel, 0, <usize>k << 5);
  for (let i = 0; i < k; i++) {
    for (let j = 0; j < columns; j++) store<f32>(panel + (<usize>j << 2), load<f32>(from + (<usize>j << 2)));
    from += row;
    panel += 32;
  }
}

/** The same for panels `panelBytes` apart, row by row of `from`: narrow columns of many rows would miss the cache. */
export function packPanels(from: usize, row: usize, columns: i32, k: i32, panels: usize, panelBytes: usize): void {
  const whole = columns & ~(PANEL_COLUMNS - 1);
  if (whole < columns) packColumns(from + (<usize>whole << 2), row, columns - whole, k, panels + <usize>(whole / PANEL_COLUMNS) * panelBytes);
  for (let i = 0; i < k; i++) {
    let to = panels;
    const end = from + (<usize>whole << 2);
    for (let at = from; at < end; at += PANEL_COLUMNS * 4) {
      v128.store(to, v128.load(at));
      v128.store(to, v128.load(at, 16), 16);
      to += panelBytes;
    }
    from += row;
    panels += PANEL_COLUMNS * 4;
  }
}

/** Rows of the left operand that the widest kernel takes at once; gemm-rows.ts says why. */
export const ROW_GROUP: i32 = ASC_FEATURE_RELAXED_SIMD ? 6 : 5;

/** Rows to take next of `left`: fours near the end where a pair or a single row, with few sums in flight, would remain. */
// @ts-ignore: decorator
@inline
export function nextRows(left: i32): i32 {
  if (left <= 16 && left % 4 == 0 && left % ROW_GROUP != 0) return 4;
  return left >= ROW_GROUP ? ROW_GROUP : left >= 4 ? 4 : left >= 2 ? 2 : 1;
}

const PACKED_K = 8; // k of a group before the next group: whole cache lines are written, and 8 rows stay cached whatever their distance

/** packed ← f32[groups][k][ROW_GROUP] of `rows` rows whose k lie `step` bytes apart, side by side in each; `groupBytes` apart. */
export function packRows(from: usize, step: usize, rows: i32, k: i32, packed: usize, groupBytes: usize): void {
  const SECOND: usize = ROW_GROUP * 4 - 16; // two vectors that overlap
  const whole = rows / ROW_GROUP;
  const rest = rows % ROW_GROUP;
  for (let i = 0; i < k; i += PACKED_K) {
    const deep = min(PACKED_K, k - i);
    let a = from, to = packed;
    for (let g = 0; g < whole; g++) {
      for (let r = 0, f = a, t = to; r < deep; r++, f += step, t += ROW_GROUP * 4) {
        v128.store(t, v128.load(f));
        v128.store(t + SECOND, v128.load(f + SECOND));
      }
      a += ROW_GROUP * 4;
      to += groupBytes;
    }
    if (rest) for (let r: usize = 0; r < <usize>deep; r++) copyFloats(to + r * ROW_GROUP * 4, a + r * step, rest);
    from += step * PACKED_K;
    packed += PACKED_K * ROW_GROUP * 4;
  }
}

/**
 * c[rows, columns ≤ 8] (+)= a · panel. Strides are in bytes; `fresh` starts from zero instead of from c.
 * `edge` is room for 6 × 8 floats, used when columns < 8, because the kernels write whole rows of 8.
 */
export function multiplyPanel(
  a: usize, aRow: usize, aStep: usize, panel: usize, panelStep: usize, c: usize, cRow: usize,
  rows: i32, columns: i32, k: i32, fresh: bool, edge: usize,
): void {
  let left = rows;
  while (left > 0) {
    const group = nextRows(left);
    multiplyRows(group, a, aRow, aStep, panel, panelStep, c, cRow, columns, k, fresh, edge);
    left -= group;
    a += <usize>group * aRow;
    c += <usize>group * cRow;
  }
}

/** The same for a group that `nextRows` gave. */
// @ts-ignore: decorator
@inline
export function multiplyRows(
  group: i32, a: usize, aRow: usize, aStep: usize, panel: usize, panelStep: usize, c: usize, cRow: usize,
  columns: i32, k: i32, fresh: bool, edge: usize,
): void {
  if (columns == PANEL_COLUMNS) return rows(group, a, aRow, aStep, panel, panelStep, c, cRow, k, fresh);
  if (!fresh) for (let r = 0; r < group; r++) copyFloats(edge + (<usize>r << 5), c + <usize>r * cRow, columns);
  rows(group, a, aRow, aStep, panel, panelStep, edge, 32, k, fresh);
  for (let r = 0; r < group; r++) copyFloats(c + <usize>r * cRow, edge + (<usize>r << 5), columns);
}

// @ts-ignore: decorator
@inline
function rows(group: i32, a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, k: i32, fresh: bool): void {
  if (group == ROW_GROUP) ASC_FEATURE_RELAXED_SIMD ? rows6(a, aRow, aStep, b, bStep, c, cRow, k, fresh) : rows5(a, aRow, aStep, b, bStep, c, cRow, k, fresh);
  else if (group == 4) rows4(a, aRow, aStep, b, bStep, c, cRow, k, fresh);
  else if (group == 2) rows2(a, aRow, aStep, b, bStep, c, cRow, k, fresh);
  else rows1(a, aStep, b, bStep, c, k, fresh);
}

// @ts-ignore: decorator
@inline
function copyFloats(to: usize, from: usize, n: i32): void {
  for (let i = 0; i < n; i++) store<f32>(to + (<usize>i << 2), load<f32>(from + (<usize>i << 2)));
}
