import { widenBf16 } from "./lib/half";

const ELEMENTS_PER_TILE = 65536;

export function bf16ToF32(
  x: usize, // bf16[n]
  y: usize, // f32[n]
  n: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const first = begin * ELEMENTS_PER_TILE;
  const last = min(end * ELEMENTS_PER_TILE, n);
  widenBf16(x + (<usize>first << 1), y + (<usize>first << 2), last - first);
}
