import { decode4bit, placeWeights } from "./lib/decode-4bit";

const ELEMENTS_PER_TILE = 65536;

export function dequantize4bit(
  packed: usize, // u8[ceil(n / 2)]
  absmax: usize, // f32[ceil(n / blocksize)], with nested u8
  code: usize, // f32[16]
  nestedAbsmax: usize, // with nested f32[ceil(blocks / 256)]
  nestedCode: usize, // with nested f32[256]
  y: usize, // f32[n]
  n: i32, blocksize: i32, nested: i32, nestedOffset: f32, round: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const w = placeWeights(scratch, packed, absmax, code, nestedAbsmax, nestedCode, blocksize, nested, nestedOffset, round);
  for (let tile = begin; tile < end; tile++) {
    const start = tile * ELEMENTS_PER_TILE;
    const len = min(ELEMENTS_PER_TILE, n - start);
    decode4bit(w, y + (<usize>start << 2), start, len);
  }
}
