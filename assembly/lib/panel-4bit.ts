// Panels (see panel.ts) straight from 4-bit weights: never more of a matrix than one tile needs.
import { interleaveHigh8, interleaveLow8 } from "./bytes";
import { blockScale, decode4bit, evenCodes, expand16, oddCodes, roundTo, Weights4 } from "./decode-4bit";
import { packTransposed, PANEL_COLUMNS } from "./panel";

/** A run of 32 elements that starts at a multiple of 32 is 16 whole bytes of one block. */
const RUN = 32;

/** panel ← rows [row, row + columns) of W[., k], transposed, k from k0 on. `spare`: 8 · depth floats. */
export function decodeTransposed(w: Weights4, k: i32, row: i32, columns: i32, k0: i32, depth: i32, panel: usize, spare: usize): void {
  if (columns == PANEL_COLUMNS && ((k | k0 | depth) & (RUN - 1)) == 0) {
    // Where rows are whole blocks, all of them begin a block together.
    const whole = (1 << w.shift) - 1;
    const period = k & whole ? RUN - 1 : whole;
    const first = row * k + k0;
    let low = f32x4.splat(0), high = low;
    for (let i = 0; i < depth; i += RUN) {
      if (i == 0 || ((k0 + i) & period) == 0) {
        low = scalesOf(w, first + i, k);
        high = scalesOf(w, first + i + 4 * k, k);
      }
      decodeRuns(w, first + i, k, low, high, panel + (<usize>i << 5));
    }
    roundTo(w, panel, depth << 3);
    return;
  }
  const stride = <usize>depth << 2;
  for (let j = 0; j < columns; j++) decode4bit(w, spare + <usize>j * stride, (row + j) * k + k0, depth);
  packTransposed(spare, stride, columns, depth, panel);
}

/** 32 rows of a panel from 8 runs, `k` elements apart: bytes are transposed while they still hold two weights each. */
// @ts-ignore: decorator
@inline
function decodeRuns(w: Weights4, at: i32, k: i32, low: v128, high: v128, to: usize): void {
  const from = w.packed + <usize>(at >> 1);
  const step = <usize>(k >> 1);
  const step4 = from + step * 4;
  const a = v128.load(from), e = v128.load(step4);
  const b = v128.load(from + step), f = v128.load(step4 + step);
  const c = v128.load(from + step * 2), g = v128.load(step4 + step * 2);
  const d = v128.load(from + step * 3), h = v128.load(step4 + step * 3);
  const ae = interleaveLow8(a, e), AE = interleaveHigh8(a, e);
  const bf = interleaveLow8(b, f), BF = interleaveHigh8(b, f);
  const cg = interleaveLow8(c, g), CG = interleaveHigh8(c, g);
  const dh = interleaveLow8(d, h), DH = interleaveHigh8(d, h);
  decodeQuarter(interleaveLow8(ae, cg), interleaveLow8(bf, dh), w.planes, low, high, to);
  decodeQuarter(interleaveHigh8(ae, cg), interleaveHigh8(bf, dh), w.planes, low, high, to + 256);
  decodeQuarter(interleaveLow8(AE, CG), interleaveLow8(BF, DH), w.planes, low, high, to + 512);
  decodeQuarter(interleaveHigh8(AE, CG), interleaveHigh8(BF, DH), w.planes, low, high, to + 768);
}

/** 8 rows of a panel: `even` has bytes of a c e g, four columns of them, `odd` those of b d f h. */
// @ts-ignore: decorator
@inline
function decodeQuarter(even: v128, odd: v128, planes: usize, low: v128, high: v128, to: usize): void {
  decodePair(interleaveLow8(even, odd), planes, low, high, to);
  decodePair(interleaveHigh8(even, odd), planes, low, high, to + 128);
}

/** 4 rows of a panel from two bytes of each of its 8 columns. */
// @ts-ignore: decorator
@inline
function decodePair(bytes: v128, planes: usize, low: v128, high: v128, to: usize): void {
  const even = evenCodes(bytes, planes), odd = oddCodes(bytes, planes);
  expand16(to, to + 64, even, planes, low, high);
  expand16(to + 32, to + 96, odd, planes, low, high);
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
