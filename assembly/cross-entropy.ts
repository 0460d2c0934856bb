import { exp4 } from "./lib/exp";

export function crossEntropy(
  targets: usize, // i32[rows]
  partials: usize, // f32[rows, slices, 2]
  wanted: usize, // f32[rows]
  logits: usize, // f32[rows, n]: e^(z − largest of the slice), then the gradient
  loss: usize, // f32[rows]
  rows: i32, n: i32, first: i32, slice: i32, vocab: i32, scale: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const slices = (vocab + slice - 1) / slice;
  for (let row = begin; row < end; row++) {
    const target = load<i32>(targets + (<usize>row << 2));
    const to = loss + (<usize>row << 2);
    const z = logits + (<usize>row * <usize>n << 2);
    if (<u32>target >= <u32>vocab) {
      store<f32>(to, 0);
      memory.fill(z, 0, <usize>n << 2);
      continue;
    }
    const parts = partials + (<usize>row * <usize>slices << 3);
    const largest = largestOf(parts, slices);
    const total = totalOf(parts, slices, largest);
    store<f32>(to, <f32>(Math.log(total) + (<f64>largest - <f64>load<f32>(wanted + (<usize>row << 2)))));
    let part = parts + (<usize>(first / slice) << 3);
    for (let from = 0; from < n; from += slice, part += 8) {
      scaleBy(z + (<usize>from << 2), min(slice, n - from), <f32>(<f64>exponential(load<f32>(part) - largest) * (<f64>scale / total)));
    }
    const column = <u32>(target - first);
    if (column >= <u32>n) continue;
    const hit = z + (<usize>column << 2);
    store<f32>(hit, load<f32>(hit) - scale);
  }
}

function largestOf(parts: usize, slices: i32): f32 {
  let largest: f32 = -Infinity;
  for (let i = 0; i < slices; i++) largest = max(largest, load<f32>(parts + (<usize>i << 3)));
  return largest;
}

function totalOf(parts: usize, slices: i32, largest: f32): f64 {
  let total: f64 = 0;
  for (let i = 0; i < slices; i++) {
    const part = parts + (<usize>i << 3);
    total += <f64>exponential(load<f32>(part) - largest) * <f64>load<f32>(part, 4);
  }
  return total;
}

// @ts-ignore: decorator
@inline
function exponential(x: f32): f32 {
  return f32x4.extract_lane(exp4(f32x4.splat(x)), 0);
}

function scaleBy(z: usize, n: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  const whole = n & ~3;
  for (let i = 0; i < whole; i += 4) {
    const at = z + (<usize>i << 2);
    v128.store(at, f32x4.mul(v128.load(at), factors));
  }
  for (let i = whole; i < n; i++) {
    const at = z + (<usize>i << 2);
    store<f32>(at, load<f32>(at) * factor);
  }
}
