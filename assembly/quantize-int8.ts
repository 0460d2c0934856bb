import { absmaxOf, nearestLevel, stepsPerUnit } from "./lib/integers";

const ELEMENTS_PER_TILE = 65536;
const LEVELS: f32 = 127;

export function quantizeInt8(
  x: usize, // f32[n]
  q: usize, // i8[n]
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
    for (let i = start; i < stop; i++) store<i8>(q + <usize>i, <i8>nearestLevel(load<f32>(x + (<usize>i << 2)), factor, LEVELS));
  }
}
