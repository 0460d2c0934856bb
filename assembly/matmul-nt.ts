import { gemm, TRANSPOSED } from "./lib/gemm";

export function matmulNt(
  x: usize, // f32[m, k]
  w: usize, // f32[n, k]
  y: usize, // f32[m, n]
  m: i32, n: i32, k: i32, accumulate: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  gemm(TRANSPOSED, x, <usize>k << 2, 4, w, y, m, n, k, accumulate, begin, end, scratch);
}
