import { gemm, PLAIN_4BIT } from "./lib/gemm";
import { placeWeights, WEIGHTS4_BYTES } from "./lib/decode-4bit";

export function matmulNf4Nn(
  dy: usize, // f32[m, n], rows `dyStride` apart
  packed: usize, // u8[ceil(n · k / 2)]
  absmax: usize, // f32[blocks], u8[blocks] when nested
  code: usize, // f32[16]
  nestedAbsmax: usize, // f32[ceil(blocks / 256)]
  nestedCode: usize, // f32[256]
  dx: usize, // f32[m, k]
  m: i32, n: i32, k: i32, dyStride: i32, blocksize: i32, nested: i32, nestedOffset: f32, round: i32, accumulate: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  placeWeights(scratch, packed, absmax, code, nestedAbsmax, nestedCode, blocksize, nested, nestedOffset, round);
  gemm(PLAIN_4BIT, dy, <usize>dyStride << 2, 4, scratch, dx, m, k, n, accumulate, begin, end, scratch + WEIGHTS4_BYTES);
}
