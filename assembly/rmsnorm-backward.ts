import { loadTail, madd, storeTail, sumLanes } from "./lib/simd";

const ROWS_PER_TILE = 32;

export function rmsnormBackward(
  dy: usize, // f32[rows, n]
  x: usize, // f32[rows, n]
  weight: usize, // f32[n]
  rstd: usize, // f32[rows]
  dx: usize, // f32[rows, n]
  rows: i32, n: i32, accumulate: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ROWS_PER_TILE, rows);
  const whole = <usize>(n & ~3) << 2;
  const bytes = <usize>n << 2;
  const tail = n & 3;
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const at = <usize>row * bytes;
    const d = dy + at, v = x + at, to = dx + at;
    let sum = f32x4.splat(0);
    for (let i: usize = 0; i < whole; i += 16) {
      sum = madd(f32x4.mul(v128.load(d + i), v128.load(weight + i)), v128.load(v + i), sum);
    }
    if (tail) sum = madd(f32x4.mul(loadTail(d + whole, tail, 0), loadTail(weight + whole, tail, 0)), loadTail(v + whole, tail, 0), sum);
    const r = load<f32>(rstd + (<usize>row << 2));
    const scale = f32x4.splat(r);
    const pull = f32x4.splat(-(r * r * r * (sumLanes(sum) / <f32>n)));
    for (let i: usize = 0; i < whole; i += 16) {
      const g = gradient(v128.load(d + i), v128.load(weight + i), v128.load(v + i), scale, pull);
      v128.store(to + i, accumulate ? f32x4.add(v128.load(to + i), g) : g);
    }
    if (!tail) continue;
    const g = gradient(loadTail(d + whole, tail, 0), loadTail(weight + whole, tail, 0), loadTail(v + whole, tail, 0), scale, pull);
    storeTail(to + whole, tail, accumulate ? f32x4.add(loadTail(to + whole, tail, 0), g) : g);
  }
}

/** rstd · dy · weight − rstd³ · mean · x */
// @ts-ignore: decorator
@inline
function gradient(d: v128, w: v128, x: v128, scale: v128, pull: v128): v128 {
  return madd(x, pull, f32x4.mul(f32x4.mul(d, w), scale));
}
