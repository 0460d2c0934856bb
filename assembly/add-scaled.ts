import { loadTail, madd, storeTail } from "./lib/simd";

const ELEMENTS_PER_TILE = 65536;

export function addScaled(
  x: usize, // f32[n]
  y: usize, // f32[n]
  n: i32, alpha: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  const factor = f32x4.splat(alpha);
  let i = begin * ELEMENTS_PER_TILE;
  for (; i + 4 <= last; i += 4) {
    const at = <usize>i << 2;
    v128.store(y + at, madd(factor, v128.load(x + at), v128.load(y + at)));
  }
  const tail = last - i;
  if (tail <= 0) return;
  const at = <usize>i << 2;
  storeTail(y + at, tail, madd(factor, loadTail(x + at, tail, 0), loadTail(y + at, tail, 0)));
}
