import { transpose4 } from "./simd";

// Philox4x32-10 (Salmon et al. 2011), the same numbers as src/random.ts.
const M0: u32 = 0xd2511f53;
const M1: u32 = 0xcd9e8d57;
const W0: u32 = 0x9e3779b9;
const W1: u32 = 0xbb67ae85;

/** The four words of one counter, as u32x4. */
export function philox(c0: u32, c1: u32, c2: u32, c3: u32, k0: u32, k1: u32): v128 {
  for (let round = 0; round < 10; round++) {
    const p0 = <u64>M0 * <u64>c0;
    const p1 = <u64>M1 * <u64>c2;
    c0 = <u32>(p1 >> 32) ^ c1 ^ k0;
    c1 = <u32>p1;
    c2 = <u32>(p0 >> 32) ^ c3 ^ k1;
    c3 = <u32>p0;
    k0 += W0;
    k1 += W1;
  }
  return i32x4.replace_lane(i32x4.replace_lane(i32x4.replace_lane(i32x4.splat(c0), 1, c1), 2, c2), 3, c3);
}

/** The words of the counters (c0, c1, c2 … c2 + 3, 0), one after another: u32[4][4] at `to`. Lanes are counters till the end. */
export function philox4(c0: u32, c1: u32, c2: u32, k0: u32, k1: u32, to: usize): void {
  let a = i32x4.splat(c0), b = i32x4.splat(c1), d = i32x4.splat(0);
  let c = i32x4.add(i32x4.splat(c2), i32x4(0, 1, 2, 3));
  const m0 = i32x4.splat(M0), m1 = i32x4.splat(M1);
  for (let round = 0; round < 10; round++) {
    const low0 = i64x2.extmul_low_i32x4_u(a, m0), high0 = i64x2.extmul_high_i32x4_u(a, m0);
    const low1 = i64x2.extmul_low_i32x4_u(c, m1), high1 = i64x2.extmul_high_i32x4_u(c, m1);
    a = v128.xor(v128.xor(oddWords(low1, high1), b), i32x4.splat(k0));
    b = evenWords(low1, high1);
    c = v128.xor(v128.xor(oddWords(low0, high0), d), i32x4.splat(k1));
    d = evenWords(low0, high0);
    k0 += W0;
    k1 += W1;
  }
  transpose4(a, b, c, d, to, 16);
}

// @ts-ignore: decorator
@inline
function evenWords(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
}

// @ts-ignore: decorator
@inline
function oddWords(a: v128, b: v128): v128 {
  return i8x16.shuffle(a, b, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
}

/** Words as numbers of [0, 1) with 24 bits. */
// @ts-ignore: decorator
@inline
export function uniform4(words: v128): v128 {
  return f32x4.mul(f32x4.convert_i32x4_s(i32x4.shr_u(words, 8)), f32x4.splat(5.9604644775390625e-8));
}
