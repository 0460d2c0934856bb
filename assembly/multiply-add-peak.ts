import { madd, sumLanes } from "./lib/simd";

// @ts-ignore: decorator
@inline
function start(chain: f32): v128 {
  return f32x4.splat(chain / 16);
}

/** Twelve chains: more than the latency of an addition and a multiplication needs, few enough to stay in registers. */
export function multiplyAddPeak(
  y: usize, // f32[n]
  n: i32, rounds: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const h = f32x4.splat(0.5);
  for (let tile = begin; tile < end; tile++) {
    let s0 = start(0), s1 = start(1), s2 = start(2), s3 = start(3), s4 = start(4), s5 = start(5);
    let s6 = start(6), s7 = start(7), s8 = start(8), s9 = start(9), s10 = start(10), s11 = start(11);
    for (let i = 0; i < rounds; i++) {
      s0 = madd(s0, h, h); s1 = madd(s1, h, h); s2 = madd(s2, h, h); s3 = madd(s3, h, h);
      s4 = madd(s4, h, h); s5 = madd(s5, h, h); s6 = madd(s6, h, h); s7 = madd(s7, h, h);
      s8 = madd(s8, h, h); s9 = madd(s9, h, h); s10 = madd(s10, h, h); s11 = madd(s11, h, h);
    }
    const a = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
    const b = f32x4.add(f32x4.add(s4, s5), f32x4.add(s6, s7));
    const c = f32x4.add(f32x4.add(s8, s9), f32x4.add(s10, s11));
    store<f32>(y + (<usize>tile << 2), sumLanes(f32x4.add(f32x4.add(a, b), c)));
  }
}
