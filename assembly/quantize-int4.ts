import { absmaxOf, nearestLevel, stepsPerUnit } from "./lib/integers";

const ELEMENTS_PER_TILE = 65536;
const LEVELS: f32 = 7;

export function quantizeInt4(
  x: usize, // f32[n]
  packed: usize, // u8[ceil(n / 2)]
  absmax: usize, // f32[ceil(n / blocksize)]
  n: i32, blocksize: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  for (let start = begin * ELEMENTS_PER_TILE; start < last; start += blocksize) {
    const stop = min(start + blocksize, n);
    const largest = absmaxOf(x + (<usize>start << 2), stop - start);
    store<f32>(absmax + (<usize>(start / blocksize) << 2), largest);
    const factor = stepsPerUnit(largest, LEVELS);
    for (let i = start; i < stop; i += 2) {
      const even = nearestLevel(load<f32>(x + (<usize>i << 2)), factor, LEVELS);
      const odd = i + 1 < stop ? nearestLevel(load<f32>(x + (<usize>i << 2), 4), factor, LEVELS) : 0;
      store<u8>(packed + <usize>(i >> 1), <u8>(even << 4 | (odd & 15)));
    }
  }
}
