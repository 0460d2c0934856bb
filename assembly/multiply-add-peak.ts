import { madd, sumLanes } from "./lib/simd";

/** For calibration: 96 · `rounds` floating-point operations that touch no memory, more chains than the latency needs. */
export function multiplyAddPeak(rounds: i32): f32 {
  const c = f32x4.splat(<f32>0.999), d = f32x4.splat(<f32>0.001);
  let s0 = d, s1 = c, s2 = d, s3 = c, s4 = d, s5 = c, s6 = d, s7 = c, s8 = d, s9 = c, s10 = d, s11 = c;
  for (let i = 0; i < rounds; i++) {
    s0 = madd(s0, c, d); s1 = madd(s1, c, d); s2 = madd(s2, c, d); s3 = madd(s3, c, d);
    s4 = madd(s4, c, d); s5 = madd(s5, c, d); s6 = madd(s6, c, d); s7 = madd(s7, c, d);
    s8 = madd(s8, c, d); s9 = madd(s9, c, d); s10 = madd(s10, c, d); s11 = madd(s11, c, d);
  }
  const a = f32x4.add(f32x4.add(s0, s1), f32x4.add(s2, s3));
  const b = f32x4.add(f32x4.add(s4, s5), f32x4.add(s6, s7));
  return sumLanes(f32x4.add(f32x4.add(a, b), f32x4.add(f32x4.add(s8, s9), f32x4.add(s10, s11))));
}
