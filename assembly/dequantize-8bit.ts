const ELEMENTS_PER_TILE = 65536;

export function dequantize8bit(
  q: usize, // u8[n]
  absmax: usize, // f32[ceil(n / blocksize)]
  code: usize, // f32[256]
  y: usize, // f32[n]
  n: i32, blocksize: i32, offset: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  for (let start = begin * ELEMENTS_PER_TILE; start < last; start += blocksize) {
    const stop = min(start + blocksize, n);
    const scale = load<f32>(absmax + (<usize>(start / blocksize) << 2));
    for (let i = start; i < stop; i++) {
      const value = load<f32>(code + (<usize>load<u8>(q + <usize>i) << 2));
      store<f32>(y + (<usize>i << 2), value * scale + offset);
    }
  }
}
