import { gemm, PLAIN } from "./lib/gemm";

export function matmulNn(
  x: usize, // f32[m, k], rows `xStride` apart
  w: usize, // f32[k, n]
  y: usize, // f32[m, n]
  m: i32, n: i32, k: i32, xStride: i32, accumulate: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  gemm(PLAIN, x, <usize>xStride << 2, 4, w, y, m, n, k, accumulate, begin, end, scratch);
}
