import { exp4 } from "./lib/exp";
import { loadTail, maxLanes, storeTail, sumLanes } from "./lib/simd";

const CHUNK = 1024; // logits summed in f32 before the sum goes on in f64

export function softmaxSlices(
  targets: usize, // i32[rows]
  logits: usize, // f32[rows, n]
  partials: usize, // f32[rows, slices, 2]
  wanted: usize, // f32[rows]
  rows: i32, n: i32, first: i32, slice: i32, vocab: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const slices = (vocab + slice - 1) / slice;
  for (let row = begin; row < end; row++) {
    const target = load<i32>(targets + (<usize>row << 2));
    if (<u32>target >= <u32>vocab) continue;
    const z = logits + (<usize>row * <usize>n << 2);
    const column = <u32>(target - first);
    if (column < <u32>n) store<f32>(wanted + (<usize>row << 2), load<f32>(z + (<usize>column << 2)));
    let to = partials + (<usize>row * <usize>slices + <usize>(first / slice) << 3);
    for (let from = 0; from < n; from += slice, to += 8) {
      const at = z + (<usize>from << 2);
      const count = min(slice, n - from);
      const largest = largestOf(at, count);
      store<f32>(to, largest);
      store<f32>(to, <f32>exponentials(at, count, largest), 4);
    }
  }
}

function largestOf(z: usize, n: i32): f32 {
  let top = f32x4.splat(-Infinity);
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) top = f32x4.pmax(top, v128.load(z + (<usize>i << 2)));
  const tail = n & 3;
  if (tail) top = f32x4.pmax(top, loadTail(z + (<usize>whole << 2), tail, -Infinity));
  return maxLanes(top);
}

/** Σ e^(z − largest), and the terms in place of z. */
function exponentials(z: usize, n: i32, largest: f32): f64 {
  const shift = f32x4.splat(largest);
  const whole = n & ~3;
  let total: f64 = 0;
  for (let from = 0; from < whole; from += CHUNK) {
    const to = min(from + CHUNK, whole);
    let sum = f32x4.splat(0);
    for (let i = from; i < to; i += 4) {
      const at = z + (<usize>i << 2);
      const e = exp4(f32x4.sub(v128.load(at), shift));
      v128.store(at, e);
      sum = f32x4.add(sum, e);
    }
    total += <f64>sumLanes(sum);
  }
  const tail = n & 3;
  if (!tail) return total;
  const at = z + (<usize>whole << 2);
  const e = exp4(f32x4.sub(loadTail(at, tail, -Infinity), shift));
  storeTail(at, tail, e);
  return total + <f64>sumLanes(e);
}
