const ELEMENTS_PER_TILE = 65536;

export function sumSquares(
  x: usize, // f32[n]
  partials: usize, // f32[ceil(n / 65536)]
  n: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  for (let tile = begin; tile < end; tile++) {
    let i = tile * ELEMENTS_PER_TILE;
    const last = min(i + ELEMENTS_PER_TILE, n);
    let low = f64x2.splat(0), high = f64x2.splat(0);
    for (; i + 4 <= last; i += 4) {
      const v = v128.load(x + (<usize>i << 2));
      const a = f64x2.promote_low_f32x4(v);
      const b = f64x2.promote_low_f32x4(i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15));
      low = f64x2.add(low, f64x2.mul(a, a));
      high = f64x2.add(high, f64x2.mul(b, b));
    }
    const sum = f64x2.add(low, high);
    let total = f64x2.extract_lane(sum, 0) + f64x2.extract_lane(sum, 1);
    for (; i < last; i++) {
      const v = <f64>load<f32>(x + (<usize>i << 2));
      total += v * v;
    }
    store<f32>(partials + (<usize>tile << 2), <f32>total);
  }
}
