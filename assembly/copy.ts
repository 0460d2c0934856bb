const ELEMENTS_PER_TILE = 65536;

export function copy(
  x: usize, // f32[n]
  y: usize, // f32[n]
  n: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const from = begin * ELEMENTS_PER_TILE;
  const last = min(end * ELEMENTS_PER_TILE, n);
  if (last > from) memory.copy(y + (<usize>from << 2), x + (<usize>from << 2), <usize>(last - from) << 2);
}
