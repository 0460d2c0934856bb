import { exp4 } from "./lib/exp";
import { multiplyPanel, packColumns, packTransposed, PANEL_COLUMNS } from "./lib/panel";
import { firstLanes, loadTail, maxLanes, sumLanes } from "./lib/simd";

const QUERIES_PER_TILE = 24; // × the query heads of one key head; src/ops/attention.ts has the same number
const BLOCK_KEYS = 512; // rows of a panel of v
const EDGE_BYTES = 192;

export function attention(
  q: usize, // f32[batch, queryLength, heads, headDim]
  k: usize, // f32[batch, keyLength, kvHeads, headDim]
  v: usize, // f32[batch, keyLength, kvHeads, headDim]
  y: usize, // f32[batch, queryLength, heads, headDim]
  lse: usize, // f32[batch, heads, queryLength]
  batch: i32, queryLength: i32, keyLength: i32, heads: i32, kvHeads: i32, headDim: i32, scale: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const group = heads / kvHeads;
  const across = (queryLength + QUERIES_PER_TILE - 1) / QUERIES_PER_TILE;
  const headBytes = <usize>headDim << 2;
  const qRow = <usize>heads * headBytes;
  const kRow = <usize>kvHeads * headBytes;
  const panel = scratch + EDGE_BYTES;
  const scores = panel + <usize>max(BLOCK_KEYS, headDim) * PANEL_COLUMNS * 4;
  for (let tile = begin; tile < end; tile++) {
    const query = (tile % across) * QUERIES_PER_TILE;
    const kvHead = tile / across % kvHeads;
    const sequence = tile / across / kvHeads;
    const rows = min(QUERIES_PER_TILE, queryLength - query);
    const head = kvHead * group;
    const row = sequence * queryLength + query;
    // The first query of the tile sees keys below `visible`, the last one all `keys`.
    const visible = query + keyLength - queryLength + 1;
    const keys = visible + rows - 1;
    const scoreRow = <usize>((keys + 7) & ~7) << 2;
    const headScores = scoreRow * QUERIES_PER_TILE;
    const from = q + <usize>row * qRow + <usize>head * headBytes;
    const to = y + <usize>row * qRow + <usize>head * headBytes;
    const keyAt = (<usize>sequence * <usize>keyLength * <usize>kvHeads + <usize>kvHead) * headBytes;
    for (let j = 0; j < keys; j += PANEL_COLUMNS) {
      packTransposed(k + keyAt + <usize>j * kRow, kRow, min(PANEL_COLUMNS, keys - j), headDim, panel);
      for (let h = 0; h < group; h++) {
        multiplyPanel(
          from + <usize>h * headBytes, qRow, 4, panel, 32, scores + <usize>h * headScores + (<usize>j << 2), scoreRow,
          rows, PANEL_COLUMNS, headDim, true, scratch,
        );
      }
    }
    for (let h = 0; h < group; h++) {
      const sums = lse + (<usize>((sequence * heads + head + h) * queryLength + query) << 2);
      for (let r = 0; r < rows; r++) {
        softmax(scores + <usize>h * headScores + <usize>r * scoreRow, visible + r, keys, scale, sums + (<usize>r << 2));
      }
    }
    for (let column = 0; column < headDim; column += PANEL_COLUMNS) {
      const wide = min(PANEL_COLUMNS, headDim - column);
      for (let j = 0; j < keys; j += BLOCK_KEYS) {
        const depth = min(BLOCK_KEYS, keys - j);
        packColumns(v + keyAt + <usize>j * kRow + (<usize>column << 2), kRow, wide, depth, panel);
        for (let h = 0; h < group; h++) {
          multiplyPanel(
            scores + <usize>h * headScores + (<usize>j << 2), scoreRow, 4, panel, 32, to + <usize>h * headBytes + (<usize>column << 2), qRow,
            rows, wide, depth, j == 0, scratch,
          );
        }
      }
    }
  }
}

/** Row of scores → probabilities over its first `visible` keys, zeros up to `keys`; *lse ← ln Σ e^(scale · score). */
function softmax(row: usize, visible: i32, keys: i32, scale: f32, lse: usize): void {
  const whole = visible & ~3;
  const tail = visible & 3;
  const edge = row + (<usize>whole << 2);
  let top = f32x4.splat(-Infinity);
  for (let i = 0; i < whole; i += 4) top = f32x4.pmax(top, v128.load(row + (<usize>i << 2)));
  if (tail) top = f32x4.pmax(top, loadTail(edge, tail, -Infinity));
  const largest = maxLanes(top) * scale;
  const scales = f32x4.splat(scale), shift = f32x4.splat(largest);
  let sum = f32x4.splat(0);
  for (let i = 0; i < whole; i += 4) {
    const at = row + (<usize>i << 2);
    const e = exp4(f32x4.sub(f32x4.mul(v128.load(at), scales), shift));
    v128.store(at, e);
    sum = f32x4.add(sum, e);
  }
  if (tail) {
    const e = v128.and(exp4(f32x4.sub(f32x4.mul(v128.load(edge), scales), shift)), firstLanes(tail));
    v128.store(edge, e);
    sum = f32x4.add(sum, e);
  }
  const total = sumLanes(sum);
  store<f32>(lse, <f32>(<f64>largest + Math.log(<f64>total)));
  const inverse = f32x4.splat(<f32>1 / total);
  const filled = (visible + 3) & ~3;
  for (let i = 0; i < filled; i += 4) {
    const at = row + (<usize>i << 2);
    v128.store(at, f32x4.mul(v128.load(at), inverse));
  }
  for (let i = filled; i < keys; i += 4) v128.store(row + (<usize>i << 2), f32x4.splat(0));
}
