const ELEMENTS_PER_TILE = 65536;

export function scale(
  y: usize, // f32[n]
  n: i32, alpha: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  const factor = f32x4.splat(alpha);
  let i = begin * ELEMENTS_PER_TILE;
  for (; i + 4 <= last; i += 4) {
    const at = y + (<usize>i << 2);
    v128.store(at, f32x4.mul(v128.load(at), factor));
  }
  for (; i < last; i++) { // tail
    const at = y + (<usize>i << 2);
    store<f32>(at, load<f32>(at) * alpha);
  }
}
