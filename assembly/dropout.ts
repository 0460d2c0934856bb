import { philox, uniform4 } from "./lib/philox";

const ROWS_PER_TILE = 16;

export function dropout(
  x: usize, // f32[rows, n]
  y: usize, // f32[rows, n]
  rows: i32, n: i32, probability: f32, key0: u32, key1: u32, step: u32, sequence: u32, rowsPerSequence: i32, accumulate: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ROWS_PER_TILE, rows);
  const scale = <f32>1 / (<f32>1 - probability);
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const first = <u32>(row % rowsPerSequence) * <u32>n;
    const counter = sequence + <u32>(row / rowsPerSequence);
    const base = <usize>row * <usize>n << 2;
    let i = 0;
    while (i < n) {
      const element = first + <u32>i;
      // The factors of the four elements of this counter wait in scratch: a row may start amid them.
      const kept = f32x4.ge(uniform4(philox(step, counter, element >> 2, 0, key0, key1)), f32x4.splat(probability));
      v128.store(scratch, v128.and(kept, f32x4.splat(scale)));
      for (let word = element & 3; word < 4 && i < n; word++, i++) {
        const at = base + (<usize>i << 2);
        const dropped = load<f32>(x + at) * load<f32>(scratch + (<usize>word << 2));
        store<f32>(y + at, accumulate ? load<f32>(y + at) + dropped : dropped);
      }
    }
  }
}
