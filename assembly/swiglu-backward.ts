import { sigmoid4 } from "./lib/exp";
import { loadTail, madd, storeTail } from "./lib/simd";

const ELEMENTS_PER_TILE = 16384;

export function swigluBackward(
  dy: usize, // f32[n]
  gate: usize, // f32[n], becomes dgate
  up: usize, // f32[n], becomes dup
  y: usize, // f32[n]
  n: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  let i = begin * ELEMENTS_PER_TILE;
  for (; i + 4 <= last; i += 4) {
    const at = <usize>i << 2;
    const d = v128.load(dy + at), g = v128.load(gate + at), u = v128.load(up + at);
    const sigma = sigmoid4(g);
    const swish = f32x4.mul(g, sigma);
    v128.store(y + at, f32x4.mul(swish, u));
    v128.store(up + at, f32x4.mul(d, swish));
    v128.store(gate + at, slope(d, u, sigma, swish));
  }
  const tail = last - i;
  if (tail <= 0) return;
  const at = <usize>i << 2;
  const d = loadTail(dy + at, tail, 0), g = loadTail(gate + at, tail, 0), u = loadTail(up + at, tail, 0);
  const sigma = sigmoid4(g);
  const swish = f32x4.mul(g, sigma);
  storeTail(y + at, tail, f32x4.mul(swish, u));
  storeTail(up + at, tail, f32x4.mul(d, swish));
  storeTail(gate + at, tail, slope(d, u, sigma, swish));
}

/** dy · up · (σ + swish · (1 − σ)) */
// @ts-ignore: decorator
@inline
function slope(d: v128, u: v128, sigma: v128, swish: v128): v128 {
  return f32x4.mul(f32x4.mul(d, u), madd(swish, f32x4.sub(f32x4.splat(1), sigma), sigma));
}
