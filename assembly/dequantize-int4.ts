const ELEMENTS_PER_TILE = 65536;
const LEVELS: f32 = 7;

export function dequantizeInt4(
  packed: usize, // u8[ceil(n / 2)]
  absmax: usize, // f32[ceil(n / blocksize)]
  y: usize, // f32[n]
  n: i32, blocksize: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  for (let start = begin * ELEMENTS_PER_TILE; start < last; start += blocksize) {
    const stop = min(start + blocksize, n);
    const step = load<f32>(absmax + (<usize>(start / blocksize) << 2)) / LEVELS;
    for (let i = start; i < stop; i++) {
      const byte = <i32>load<i8>(packed + <usize>(i >> 1));
      const level = i & 1 ? byte << 28 >> 28 : byte >> 4;
      store<f32>(y + (<usize>i << 2), <f32>level * step);
    }
  }
}
