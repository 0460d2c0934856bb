import { madd, sumLanes } from "./lib/simd";

const ROWS_PER_TILE = 32;

export function rmsnorm(
  x: usize, // f32[rows, n]
  weight: usize, // f32[n]
  y: usize, // f32[rows, n]
  rstd: usize, // f32[rows]
  rows: i32, n: i32, eps: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ROWS_PER_TILE, rows);
  const whole = <usize>(n & ~3) << 2;
  const bytes = <usize>n << 2;
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const from = x + <usize>row * bytes;
    const to = y + <usize>row * bytes;
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < whole; i += 16) {
      const v = v128.load(from + i);
      sum = madd(v, v, sum);
    }
    let total = sumLanes(sum);
    for (let i = whole; i < bytes; i += 4) {
      const v = load<f32>(from + i);
      total += v * v;
    }
    const r = <f32>1 / sqrt<f32>(total / <f32>n + eps);
    store<f32>(rstd + (<usize>row << 2), r);
    const scale = f32x4.splat(r);
    for (let i: usize = 0; i < whole; i += 16) {
      v128.store(to + i, f32x4.mul(f32x4.mul(v128.load(from + i), scale), v128.load(weight + i)));
    }
    for (let i = whole; i < bytes; i += 4) {
      store<f32>(to + i, load<f32>(from + i) * r * load<f32>(weight + i));
    }
  }
}
