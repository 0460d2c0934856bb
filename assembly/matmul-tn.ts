import { gemm, PLAIN } from "./lib/gemm";

export function matmulTn(
  x: usize, // f32[k, m]
  w: usize, // f32[k, n]
  y: usize, // f32[m, n]
  m: i32, n: i32, k: i32, accumulate: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  gemm(PLAIN, x, 4, <usize>m << 2, w, y, m, n, k, accumulate, begin, end, scratch);
}
