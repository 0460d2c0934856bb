import { madd } from "./simd";

/*
 * c[rows, 8] (+)= a[rows, k] · b[k, 8], for 6, 5, 4, 2 and 1 rows. Every element accumulates over k one by one,
 * whatever the number of rows, so a row's bits do not depend on the rows computed beside it.
 * Six rows' 12 sums, 2 values of b and a splat fill the 15 registers of x86. Without fused multiply-add a product
 * needs a sixteenth, and a sum that lives in memory costs half the speed: five rows then. Unrolling over k makes
 * engines interleave the steps and spill (measured: see bench/RESULTS.md).
 */

// @ts-ignore: decorator
@inline
function first(c: usize, offset: usize, fresh: bool): v128 {
  return fresh ? f32x4.splat(0) : v128.load(c + offset);
}

// @ts-ignore: decorator
@inline
function store2(c: usize, low: v128, high: v128): void {
  v128.store(c, low);
  v128.store(c, high, 16);
}

export function rows6(a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, k: i32, fresh: bool): void {
  const c1 = c + cRow, c2 = c1 + cRow, c3 = c2 + cRow, c4 = c3 + cRow, c5 = c4 + cRow;
  let s0 = first(c, 0, fresh), t0 = first(c, 16, fresh);
  let s1 = first(c1, 0, fresh), t1 = first(c1, 16, fresh);
  let s2 = first(c2, 0, fresh), t2 = first(c2, 16, fresh);
  let s3 = first(c3, 0, fresh), t3 = first(c3, 16, fresh);
  let s4 = first(c4, 0, fresh), t4 = first(c4, 16, fresh);
  let s5 = first(c5, 0, fresh), t5 = first(c5, 16, fresh);
  let a1 = a + aRow, a2 = a1 + aRow, a3 = a2 + aRow, a4 = a3 + aRow, a5 = a4 + aRow;
  for (let i = 0; i < k; i++) {
    const low = v128.load(b), high = v128.load(b, 16);
    let x = v128.load32_splat(a);
    s0 = madd(x, low, s0); t0 = madd(x, high, t0);
    x = v128.load32_splat(a1);
    s1 = madd(x, low, s1); t1 = madd(x, high, t1);
    x = v128.load32_splat(a2);
    s2 = madd(x, low, s2); t2 = madd(x, high, t2);
    x = v128.load32_splat(a3);
    s3 = madd(x, low, s3); t3 = madd(x, high, t3);
    x = v128.load32_splat(a4);
    s4 = madd(x, low, s4); t4 = madd(x, high, t4);
    x = v128.load32_splat(a5);
    s5 = madd(x, low, s5); t5 = madd(x, high, t5);
    b += bStep;
    a += aStep; a1 += aStep; a2 += aStep; a3 += aStep; a4 += aStep; a5 += aStep;
  }
  store2(c, s0, t0); store2(c1, s1, t1); store2(c2, s2, t2);
  store2(c3, s3, t3); store2(c4, s4, t4); store2(c5, s5, t5);
}

export function rows5(a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, k: i32, fresh: bool): void {
  const c1 = c + cRow, c2 = c1 + cRow, c3 = c2 + cRow, c4 = c3 + cRow;
  let s0 = first(c, 0, fresh), t0 = first(c, 16, fresh);
  let s1 = first(c1, 0, fresh), t1 = first(c1, 16, fresh);
  let s2 = first(c2, 0, fresh), t2 = first(c2, 16, fresh);
  let s3 = first(c3, 0, fresh), t3 = first(c3, 16, fresh);
  let s4 = first(c4, 0, fresh), t4 = first(c4, 16, fresh);
  let a1 = a + aRow, a2 = a1 + aRow, a3 = a2 + aRow, a4 = a3 + aRow;
  for (let i = 0; i < k; i++) {
    const low = v128.load(b), high = v128.load(b, 16);
    let x = v128.load32_splat(a);
    s0 = madd(x, low, s0); t0 = madd(x, high, t0);
    x = v128.load32_splat(a1);
    s1 = madd(x, low, s1); t1 = madd(x, high, t1);
    x = v128.load32_splat(a2);
    s2 = madd(x, low, s2); t2 = madd(x, high, t2);
    x = v128.load32_splat(a3);
    s3 = madd(x, low, s3); t3 = madd(x, high, t3);
    x = v128.load32_splat(a4);
    s4 = madd(x, low, s4); t4 = madd(x, high, t4);
    b += bStep;
    a += aStep; a1 += aStep; a2 += aStep; a3 += aStep; a4 += aStep;
  }
  store2(c, s0, t0); store2(c1, s1, t1); store2(c2, s2, t2);
  store2(c3, s3, t3); store2(c4, s4, t4);
}

export function rows4(a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, k: i32, fresh: bool): void {
  const c1 = c + cRow, c2 = c1 + cRow, c3 = c2 + cRow;
  let s0 = first(c, 0, fresh), t0 = first(c, 16, fresh);
  let s1 = first(c1, 0, fresh), t1 = first(c1, 16, fresh);
  let s2 = first(c2, 0, fresh), t2 = first(c2, 16, fresh);
  let s3 = first(c3, 0, fresh), t3 = first(c3, 16, fresh);
  let a1 = a + aRow, a2 = a1 + aRow, a3 = a2 + aRow;
  for (let i = 0; i < k; i++) {
    const low = v128.load(b), high = v128.load(b, 16);
    let x = v128.load32_splat(a);
    s0 = madd(x, low, s0); t0 = madd(x, high, t0);
    x = v128.load32_splat(a1);
    s1 = madd(x, low, s1); t1 = madd(x, high, t1);
    x = v128.load32_splat(a2);
    s2 = madd(x, low, s2); t2 = madd(x, high, t2);
    x = v128.load32_splat(a3);
    s3 = madd(x, low, s3); t3 = madd(x, high, t3);
    b += bStep;
    a += aStep; a1 += aStep; a2 += aStep; a3 += aStep;
  }
  store2(c, s0, t0); store2(c1, s1, t1); store2(c2, s2, t2); store2(c3, s3, t3);
}

export function rows2(a: usize, aRow: usize, aStep: usize, b: usize, bStep: usize, c: usize, cRow: usize, k: i32, fresh: bool): void {
  const c1 = c + cRow;
  let s0 = first(c, 0, fresh), t0 = first(c, 16, fresh);
  let s1 = first(c1, 0, fresh), t1 = first(c1, 16, fresh);
  let a1 = a + aRow;
  for (let i = 0; i < k; i++) {
    const low = v128.load(b), high = v128.load(b, 16);
    let x = v128.load32_splat(a);
    s0 = madd(x, low, s0); t0 = madd(x, high, t0);
    x = v128.load32_splat(a1);
    s1 = madd(x, low, s1); t1 = madd(x, high, t1);
    b += bStep;
    a += aStep; a1 += aStep;
  }
  store2(c, s0, t0); store2(c1, s1, t1);
}

export function rows1(a: usize, aStep: usize, b: usize, bStep: usize, c: usize, k: i32, fresh: bool): void {
  let s0 = first(c, 0, fresh), t0 = first(c, 16, fresh);
  for (let i = 0; i < k; i++) {
    const x = v128.load32_splat(a);
    s0 = madd(x, v128.load(b), s0); t0 = madd(x, v128.load(b, 16), t0);
    b += bStep;
    a += aStep;
  }
  store2(c, s0, t0);
}

/** One row over four panels: enough sums in flight to hide the latency of an addition. */
export function row1(a: usize, aStep: usize, b: usize, panelBytes: usize, c: usize, k: i32, fresh: bool): void {
  let s0 = first(c, 0, fresh), t0 = first(c, 16, fresh), s1 = first(c, 32, fresh), t1 = first(c, 48, fresh);
  let s2 = first(c, 64, fresh), t2 = first(c, 80, fresh), s3 = first(c, 96, fresh), t3 = first(c, 112, fresh);
  const b1 = panelBytes, b2 = panelBytes * 2, b3 = panelBytes * 3;
  for (let i = 0; i < k; i++) {
    const x = v128.load32_splat(a);
    s0 = madd(x, v128.load(b), s0); t0 = madd(x, v128.load(b, 16), t0);
    s1 = madd(x, v128.load(b + b1), s1); t1 = madd(x, v128.load(b + b1, 16), t1);
    s2 = madd(x, v128.load(b + b2), s2); t2 = madd(x, v128.load(b + b2, 16), t2);
    s3 = madd(x, v128.load(b + b3), s3); t3 = madd(x, v128.load(b + b3, 16), t3);
    b += 32;
    a += aStep;
  }
  store2(c, s0, t0); store2(c + 32, s1, t1); store2(c + 64, s2, t2); store2(c + 96, s3, t3);
}
