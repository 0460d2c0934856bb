import { narrowToF16 } from "./lib/half";

const ELEMENTS_PER_TILE = 65536;

export function f32ToF16(
  x: usize, // f32[n]
  y: usize, // f16[n]
  n: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const first = begin * ELEMENTS_PER_TILE;
  const last = min(end * ELEMENTS_PER_TILE, n);
  narrowToF16(x + (<usize>first << 2), y + (<usize>first << 1), last - first);
}
