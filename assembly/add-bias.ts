const ROWS_PER_TILE = 64;

export function addBias(
  bias: usize, // f32[n]
  y: usize, // f32[rows, n]
  rows: i32, n: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ROWS_PER_TILE, rows);
  const whole = <usize>(n & ~3) << 2;
  const bytes = <usize>n << 2;
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const to = y + <usize>row * bytes;
    for (let i: usize = 0; i < whole; i += 16) v128.store(to + i, f32x4.add(v128.load(to + i), v128.load(bias + i)));
    for (let i = whole; i < bytes; i += 4) store<f32>(to + i, load<f32>(to + i) + load<f32>(bias + i));
  }
}
