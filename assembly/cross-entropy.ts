import { exp4 } from "./lib/exp";
import { loadTail, maxLanes, storeTail, sumLanes } from "./lib/simd";

const CHUNK = 1024; // logits summed in f32 before the sum goes on in f64

export function crossEntropy(
  targets: usize, // i32[rows]
  logits: usize, // f32[rows, vocab]
  loss: usize, // f32[rows]
  rows: i32, vocab: i32, backward: i32, scale: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const bytes = <usize>vocab << 2;
  for (let row = begin; row < end; row++) {
    const z = logits + <usize>row * bytes;
    const target = load<i32>(targets + (<usize>row << 2));
    const to = loss + (<usize>row << 2);
    if (<u32>target >= <u32>vocab) {
      store<f32>(to, 0);
      if (backward) memory.fill(z, 0, bytes);
      continue;
    }
    const largest = largestOf(z, vocab);
    const wanted = load<f32>(z + (<usize>target << 2));
    const total = exponentials(z, vocab, largest, backward != 0);
    store<f32>(to, <f32>(Math.log(total) + (<f64>largest - <f64>wanted)));
    if (!backward) continue;
    scaleBy(z, vocab, <f32>(<f64>scale / total));
    const hit = z + (<usize>target << 2);
    store<f32>(hit, load<f32>(hit) - scale);
  }
}

function largestOf(z: usize, vocab: i32): f32 {
  let top = f32x4.splat(-Infinity);
  const whole = vocab & ~3;
  for (let i = 0; i < whole; i += 4) top = f32x4.pmax(top, v128.load(z + (<usize>i << 2)));
  const tail = vocab & 3;
  if (tail) top = f32x4.pmax(top, loadTail(z + (<usize>whole << 2), tail, -Infinity));
  return maxLanes(top);
}

/** Σ e^(z − largest); `keep` leaves the terms in place of z. */
function exponentials(z: usize, vocab: i32, largest: f32, keep: bool): f64 {
  const shift = f32x4.splat(largest);
  const whole = vocab & ~3;
  let total: f64 = 0;
  for (let from = 0; from < whole; from += CHUNK) {
    const to = min(from + CHUNK, whole);
    let sum = f32x4.splat(0);
    for (let i = from; i < to; i += 4) {
      const at = z + (<usize>i << 2);
      const e = exp4(f32x4.sub(v128.load(at), shift));
      if (keep) v128.store(at, e);
      sum = f32x4.add(sum, e);
    }
    total += <f64>sumLanes(sum);
  }
  const tail = vocab & 3;
  if (!tail) return total;
  const at = z + (<usize>whole << 2);
  const e = exp4(f32x4.sub(loadTail(at, tail, -Infinity), shift));
  if (keep) storeTail(at, tail, e);
  return total + <f64>sumLanes(e);
}

function scaleBy(z: usize, vocab: i32, factor: f32): void {
  const factors = f32x4.splat(factor);
  const whole = vocab & ~3;
  for (let i = 0; i < whole; i += 4) {
    const at = z + (<usize>i << 2);
    v128.store(at, f32x4.mul(v128.load(at), factors));
  }
  for (let i = whole; i < vocab; i++) {
    const at = z + (<usize>i << 2);
    store<f32>(at, load<f32>(at) * factor);
  }
}
