import { madd } from "./lib/simd";

const ROWS_PER_TILE = 32;

export function rope(
  positions: usize, // i32[rows]
  cos: usize, // f32[maxPositions, headDim / 2]
  sin: usize, // f32[maxPositions, headDim / 2]
  q: usize, // f32[rows, heads, headDim]
  k: usize, // f32[rows, kvHeads, headDim]
  rows: i32, heads: i32, kvHeads: i32, headDim: i32, maxPositions: i32, sign: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ROWS_PER_TILE, rows);
  const half = <usize>(headDim >> 1) << 2;
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const angle = <usize>load<i32>(positions + (<usize>row << 2)) * half;
    rotate(q + <usize>row * <usize>heads * (half << 1), heads, cos + angle, sin + angle, half, sign);
    rotate(k + <usize>row * <usize>kvHeads * (half << 1), kvHeads, cos + angle, sin + angle, half, sign);
  }
}

/** The heads of one row; `half` is bytes. */
function rotate(low: usize, heads: i32, c: usize, s: usize, half: usize, sign: f32): void {
  const whole = half & ~15;
  const signs = f32x4.splat(sign);
  for (let head = 0; head < heads; head++) {
    const high = low + half;
    for (let i: usize = 0; i < whole; i += 16) {
      const a = v128.load(low + i), b = v128.load(high + i);
      const co = v128.load(c + i), si = f32x4.mul(v128.load(s + i), signs);
      v128.store(low + i, madd(f32x4.neg(b), si, f32x4.mul(a, co)));
      v128.store(high + i, madd(a, si, f32x4.mul(b, co)));
    }
    for (let i = whole; i < half; i += 4) {
      const a = load<f32>(low + i), b = load<f32>(high + i);
      const co = load<f32>(c + i), si = load<f32>(s + i) * sign;
      store<f32>(low + i, a * co - b * si);
      store<f32>(high + i, b * co + a * si);
    }
    low += half << 1;
  }
}
