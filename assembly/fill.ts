const ELEMENTS_PER_TILE = 65536;

export function fill(
  y: usize, // f32[n]
  n: i32, value: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  const values = f32x4.splat(value);
  let i = begin * ELEMENTS_PER_TILE;
  for (; i + 4 <= last; i += 4) v128.store(y + (<usize>i << 2), values);
  for (; i < last; i++) store<f32>(y + (<usize>i << 2), value); // tail
}
