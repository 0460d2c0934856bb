import { decode4bit, placeWeights } from "./lib/decode-4bit";

const ROWS_PER_TILE = 64;

export function embedding4bit(
  ids: usize, // i32[rows]
  packed: usize, // u8[ceil(n · k / 2)]
  absmax: usize, // f32[blocks], u8[blocks] when nested
  code: usize, // f32[16]
  nestedAbsmax: usize, // f32[ceil(blocks / 256)]
  nestedCode: usize, // f32[256]
  y: usize, // f32[rows, k]
  rows: i32, n: i32, k: i32, first: i32, blocksize: i32, nested: i32, nestedOffset: f32, round: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const w = placeWeights(scratch, packed, absmax, code, nestedAbsmax, nestedCode, blocksize, nested, nestedOffset, round);
  const last = min(end * ROWS_PER_TILE, rows);
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const id = load<i32>(ids + (<usize>row << 2)) - first; // ids below it wrap around and are too large
    if (<u32>id < <u32>n) decode4bit(w, y + (<usize>row * <usize>k << 2), id * k, k);
  }
}
