// Panels (see panel.ts) straight from 4-bit weights: never more of a matrix than one tile needs.
import { interleaveHigh8, interleaveLow8 } from "./bytes";
import { blockScale, decode4bit, evenCodes, expand16, oddCodes, roundTo, Weights4 } from "./decode-4bit";
import { packTransposed, PANEL_COLUMNS } from "./panel";

/** A run of 32 elements that starts at a multiple of 32 is 16 whole bytes of one block. */
const RUN = 32;
const TURNED_BYTES: usize = 128; // 8 runs

/** Whether a block begins at element `i` of rows of k elements; where rows are whole blocks, all of them begin one together. */
// @ts-ignore: decorator
@inline
function beginsBlock(w: Weights4, k: i32, i: i32): bool {
  const whole = (1 << w.shift) - 1;
  return (i & (k & whole ? RUN - 1 : whole)) == 0;
}

/** panel ← rows [row, row + columns) of W[., k], transposed, k from k0 on. `spare`: 8 · depth floats. */
export function decodeTransposed(w: Weights4, k: i32, row: i32, columns: i32, k0: i32, depth: i32, panel: usize, spare: usize): void {
  if (columns == PANEL_COLUMNS && ((k | k0 | depth) & (RUN - 1)) == 0) {
    const planes = w.planes;
    let low = f32x4.splat(0), high = low;
    let to = panel;
    for (let i = 0; i < depth; i += RUN) {
      const at = row * k + k0 + i;
      if (i == 0 || beginsBlock(w, k, k0 + i)) {
        low = scalesOf(w, at, k);
        high = scalesOf(w, at + 4 * k, k);
      }
      turnRuns(w.packed + <usize>(at >> 1), <usize>(k >> 1), spare);
      for (let turned = spare; turned < spare + TURNED_BYTES; turned += 16, to += 128) {
        const bytes = v128.load(turned);
        expand16(to, to + 64, evenCodes(bytes, planes), planes, low, high);
        expand16(to + 32, to + 96, oddCodes(bytes, planes), planes, low, high);
      }
    }
    roundTo(w, panel, depth << 3);
    return;
  }
  const stride = <usize>depth << 2;
  for (let j = 0; j < columns; j++) decode4bit(w, spare + <usize>j * stride, (row + j) * k + k0, depth);
  packTransposed(spare, stride, columns, depth, panel);
}

/** to ← u8[8][16]: vector i has bytes 2i and 2i + 1 of 8 runs `step` apart, transposed while they still hold two weights each. */
// @ts-ignore: decorator
@inline
function turnRuns(from: usize, step: usize, to: usize): void {
  const step4 = from + step * 4;
  const a = v128.load(from), e = v128.load(step4);
  const b = v128.load(from + step), f = v128.load(step4 + step);
  const c = v128.load(from + step * 2), g = v128.load(step4 + step * 2);
  const d = v128.load(from + step * 3), h = v128.load(step4 + step * 3);
  const ae = interleaveLow8(a, e), AE = interleaveHigh8(a, e);
  const bf = interleaveLow8(b, f), BF = interleaveHigh8(b, f);
  const cg = interleaveLow8(c, g), CG = interleaveHigh8(c, g);
  const dh = interleaveLow8(d, h), DH = interleaveHigh8(d, h);
  turnQuarter(interleaveLow8(ae, cg), interleaveLow8(bf, dh), to);
  turnQuarter(interleaveHigh8(ae, cg), interleaveHigh8(bf, dh), to + 32);
  turnQuarter(interleaveLow8(AE, CG), interleaveLow8(BF, DH), to + 64);
  turnQuarter(interleaveHigh8(AE, CG), interleaveHigh8(BF, DH), to + 96);
}

/** `even` has four bytes each of a c e g, `odd` those of b d f h. */
// @ts-ignore: decorator
@inline
function turnQuarter(even: v128, odd: v128, to: usize): void {
  v128.store(to, interleaveLow8(even, odd));
  v128.store(to, interleaveHigh8(even, odd), 16);
}

/** Scales of four rows, `k` elements apart. */
// @ts-ignore: decorator
@inline
function scalesOf(w: Weights4, at: i32, k: i32): v128 {
  let v = f32x4.splat(blockScale(w, at >> w.shift));
  v = f32x4.replace_lane(v, 1, blockScale(w, (at + k) >> w.shift));
  v = f32x4.replace_lane(v, 2, blockScale(w, (at + 2 * k) >> w.shift));
  return f32x4.replace_lane(v, 3, blockScale(w, (at + 3 * k) >> w.shift));
}

/** panels ← columns [column, column + columns) of W[., n], rows from k0 on; panels are `panelBytes` apart. */
export function decodeColumns(w: Weights4, n: i32, k0: i32, depth: i32, column: i32, columns: i32, panels: usize, panelBytes: usize, spare: usize): void {
  if (((n | column | columns) & (RUN - 1)) == 0) {
    for (let j = 0; j < columns; j += RUN) {
      const to = panels + <usize>(j / PANEL_COLUMNS) * panelBytes;
      for (let i = 0; i < depth; i++) decodeRun(w, (k0 + i) * n + column + j, to + (<usize>i << 5), panelBytes);
    }
    if (w.round) for (let j = 0; j < columns; j += PANEL_COLUMNS) roundTo(w, panels + <usize>(j / PANEL_COLUMNS) * panelBytes, depth << 3);
    return;
  }
  const padded = (columns + PANEL_COLUMNS - 1) & ~(PANEL_COLUMNS - 1);
  memory.fill(spare, 0, <usize>padded << 2);
  for (let i = 0; i < depth; i++) {
    decode4bit(w, spare, (k0 + i) * n + column, columns);
    for (let j = 0; j < padded; j += PANEL_COLUMNS) {
      const to = panels + <usize>(j / PANEL_COLUMNS) * panelBytes + (<usize>i << 5);
      v128.store(to, v128.load(spare + (<usize>j << 2)));
      v128.store(to, v128.load(spare + (<usize>j << 2), 16), 16);
    }
  }
}

/** A row of each of four panels. */
// @ts-ignore: decorator
@inline
function decodeRun(w: Weights4, at: i32, to: usize, panelBytes: usize): void {
  const bytes = v128.load(w.packed + <usize>(at >> 1));
  const even = evenCodes(bytes, w.planes), odd = oddCodes(bytes, w.planes);
  const scale = f32x4.splat(blockScale(w, at >> w.shift));
  const half = to + 2 * panelBytes;
  expand16(to, to + panelBytes, interleaveLow8(even, odd), w.planes, scale, scale);
  expand16(half, half + panelBytes, interleaveHigh8(even, odd), w.planes, scale, scale);
}
