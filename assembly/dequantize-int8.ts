const ELEMENTS_PER_TILE = 65536;
const LEVELS: f32 = 127;

export function dequantizeInt8(
  q: usize, // i8[n]
  absmax: usize, // f32[ceil(n / blocksize)]
  y: usize, // f32[n]
  n: i32, blocksize: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  for (let start = begin * ELEMENTS_PER_TILE; start < last; start += blocksize) {
    const stop = min(start + blocksize, n);
    const step = load<f32>(absmax + (<usize>(start / blocksize) << 2)) / LEVELS;
    for (let i = start; i < stop; i++) store<f32>(y + (<usize>i << 2), <f32>load<i8>(q + <usize>i) * step);
  }
}
