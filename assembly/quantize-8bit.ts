import { maxLanes } from "./lib/simd";

const ELEMENTS_PER_TILE = 65536;

/** Entries of the table for four values; NaN falls to entry 0. */
// @ts-ignore: decorator
@inline
function indices(v: v128, factor: v128): v128 {
  const one = f32x4.splat(1);
  const s = f32x4.pmax(f32x4.pmin(f32x4.mul(v, factor), one), f32x4.splat(-1));
  const half = f32x4.mul(f32x4.add(s, one), f32x4.splat(0.5));
  return i32x4.trunc_sat_f32x4_u(f32x4.add(f32x4.mul(half, f32x4.splat(65535)), f32x4.splat(0.5)));
}

/** max |x − offset|; pmax keeps its first operand beside a NaN, so a NaN is none. */
// @ts-ignore: decorator
@inline
function largestDistance(x: usize, n: i32, offset: f32): f32 {
  const offsets = f32x4.splat(offset);
  let a = f32x4.splat(0), b = a;
  let i = 0;
  for (; i + 8 <= n; i += 8, x += 32) {
    a = f32x4.pmax(a, f32x4.abs(f32x4.sub(v128.load(x), offsets)));
    b = f32x4.pmax(b, f32x4.abs(f32x4.sub(v128.load(x, 16), offsets)));
  }
  let largest = maxLanes(f32x4.pmax(a, b));
  for (; i < n; i++, x += 4) { // tail
    const size = abs<f32>(load<f32>(x) - offset);
    if (size > largest) largest = size;
  }
  return largest;
}

export function quantize8bit(
  x: usize, // f32[n]
  lut: usize, // u8[65536]
  q: usize, // u8[n]
  absmax: usize, // f32[ceil(n / blocksize)]
  n: i32, blocksize: i32, offset: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  const offsets = f32x4.splat(offset);
  for (let start = begin * ELEMENTS_PER_TILE; start < last; start += blocksize) {
    const stop = min(start + blocksize, n);
    const largest = largestDistance(x + (<usize>start << 2), stop - start, offset);
    store<f32>(absmax + (<usize>(start / blocksize) << 2), largest);
    if (largest == 0) {
      memory.fill(q + <usize>start, 0, stop - start);
      continue;
    }
    const factor = f32x4.splat(<f32>1 / largest);
    let i = start;
    for (; i + 4 <= stop; i += 4) {
      const at = indices(f32x4.sub(v128.load(x + (<usize>i << 2)), offsets), factor);
      store<u8>(q + <usize>i, load<u8>(lut + <usize>i32x4.extract_lane(at, 0)));
      store<u8>(q + <usize>i, load<u8>(lut + <usize>i32x4.extract_lane(at, 1)), 1);
      store<u8>(q + <usize>i, load<u8>(lut + <usize>i32x4.extract_lane(at, 2)), 2);
      store<u8>(q + <usize>i, load<u8>(lut + <usize>i32x4.extract_lane(at, 3)), 3);
    }
    for (; i < stop; i++) { // tail
      const at = indices(f32x4.sub(v128.load32_zero(x + (<usize>i << 2)), offsets), factor);
      store<u8>(q + <usize>i, load<u8>(lut + <usize>i32x4.extract_lane(at, 0)));
    }
  }
}
