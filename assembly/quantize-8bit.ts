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
    let largest: f32 = 0;
    for (let i = start; i < stop; i++) {
      const size = abs<f32>(load<f32>(x + (<usize>i << 2)) - offset);
      if (size > largest) largest = size; // a NaN is none
    }
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
