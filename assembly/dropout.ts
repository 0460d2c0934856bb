import { philox, philox4, uniform4 } from "./lib/philox";

const ROWS_PER_TILE = 16;

export function dropout(
  x: usize, // f32[rows, n]
  y: usize, // f32[rows, n]
  rows: i32, n: i32, probability: f32, key0: u32, key1: u32, step: u32, sequence: u32, rowsPerSequence: i32, accumulate: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ROWS_PER_TILE, rows);
  const limit = f32x4.splat(probability);
  const scale = f32x4.splat(<f32>1 / (<f32>1 - probability));
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const first = <u32>(row % rowsPerSequence) * <u32>n;
    const counter = sequence + <u32>(row / rowsPerSequence);
    const base = <usize>row * <usize>n << 2;
    let i = 0;
    if ((first & 3) == 0) {
      for (; i + 16 <= n; i += 16) {
        const at = base + (<usize>i << 2);
        philox4(step, counter, (first + <u32>i) >> 2, key0, key1, scratch);
        apply4(x + at, y + at, scratch, limit, scale, accumulate);
        apply4(x + at + 16, y + at + 16, scratch + 16, limit, scale, accumulate);
        apply4(x + at + 32, y + at + 32, scratch + 32, limit, scale, accumulate);
        apply4(x + at + 48, y + at + 48, scratch + 48, limit, scale, accumulate);
      }
    }
    while (i < n) {
      const element = first + <u32>i;
      // The factors of the four elements of this counter wait in scratch: a row may start amid them.
      v128.store(scratch, factors(philox(step, counter, element >> 2, 0, key0, key1), limit, scale));
      for (let word = element & 3; word < 4 && i < n; word++, i++) {
        const at = base + (<usize>i << 2);
        const dropped = load<f32>(x + at) * load<f32>(scratch + (<usize>word << 2));
        store<f32>(y + at, accumulate ? load<f32>(y + at) + dropped : dropped);
      }
    }
  }
}

// @ts-ignore: decorator
@inline
function factors(words: v128, limit: v128, scale: v128): v128 {
  return v128.and(f32x4.ge(uniform4(words), limit), scale);
}

// @ts-ignore: decorator
@inline
function apply4(x: usize, y: usize, words: usize, limit: v128, scale: v128, accumulate: i32): void {
  const dropped = f32x4.mul(v128.load(x), factors(v128.load(words), limit, scale));
  v128.store(y, accumulate ? f32x4.add(v128.load(y), dropped) : dropped);
}
