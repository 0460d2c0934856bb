import { sigmoid4 } from "./lib/exp";
import { loadTail, storeTail } from "./lib/simd";

const ELEMENTS_PER_TILE = 16384;

export function swiglu(
  gate: usize, // f32[n]
  up: usize, // f32[n]
  y: usize, // f32[n]
  n: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  let i = begin * ELEMENTS_PER_TILE;
  for (; i + 4 <= last; i += 4) {
    const at = <usize>i << 2;
    v128.store(y + at, swish(v128.load(gate + at), v128.load(up + at)));
  }
  const tail = last - i;
  if (tail <= 0) return;
  const at = <usize>i << 2;
  storeTail(y + at, tail, swish(loadTail(gate + at, tail, 0), loadTail(up + at, tail, 0)));
}

// @ts-ignore: decorator
@inline
function swish(gate: v128, up: v128): v128 {
  return f32x4.mul(f32x4.mul(gate, sigmoid4(gate)), up);
}
