import { loadTail, storeTail } from "./lib/simd";

const ELEMENTS_PER_TILE = 16384;

export function adamw(
  clip: usize, // f32[2]
  grad: usize, // f32[n]
  param: usize, // f32[n]
  expAvg: usize, // f32[n]
  expAvgSq: usize, // f32[n]
  n: i32, learningRate: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32, eps: f32, weightDecay: f32, correction1: f32, correction2: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ELEMENTS_PER_TILE, n);
  const factor = f32x4.splat(load<f32>(clip, 4));
  // Scalars as torch makes them: in f64, rounded once.
  const keep = f32x4.splat(<f32>(1 - <f64>learningRate * <f64>weightDecay));
  const new1 = f32x4.splat(oneMinusBeta1);
  const new2 = f32x4.splat(oneMinusBeta2);
  const old2 = f32x4.splat(beta2);
  const step = f32x4.splat(<f32>(<f64>learningRate / <f64>correction1));
  const root = f32x4.splat(<f32>sqrt(<f64>correction2));
  const epsilon = f32x4.splat(eps);
  for (let i = begin * ELEMENTS_PER_TILE; i < last; i += 4) {
    const at = <usize>i << 2;
    const tail = last - i;
    const whole = tail >= 4;
    const g = f32x4.mul(whole ? v128.load(grad + at) : loadTail(grad + at, tail, 0), factor);
    let p = whole ? v128.load(param + at) : loadTail(param + at, tail, 0);
    let m = whole ? v128.load(expAvg + at) : loadTail(expAvg + at, tail, 0);
    let v = whole ? v128.load(expAvgSq + at) : loadTail(expAvgSq + at, tail, 0);
    p = f32x4.mul(p, keep);
    m = f32x4.add(m, f32x4.mul(f32x4.sub(g, m), new1));
    v = f32x4.add(f32x4.mul(v, old2), f32x4.mul(f32x4.mul(g, g), new2));
    const denominator = f32x4.add(f32x4.div(f32x4.sqrt(v), root), epsilon);
    p = f32x4.sub(p, f32x4.mul(step, f32x4.div(m, denominator)));
    if (whole) {
      v128.store(param + at, p);
      v128.store(expAvg + at, m);
      v128.store(expAvgSq + at, v);
    } else {
      storeTail(param + at, tail, p);
      storeTail(expAvg + at, tail, m);
      storeTail(expAvgSq + at, tail, v);
    }
  }
}
