/** Small deterministic generator (mulberry32) for test data; not the engine's Philox. */
export function randomSource(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** Normal values, Box–Muller. */
export function normals(n: number, seed: number, scale = 1): Float32Array {
  const random = randomSource(seed);
  return Float32Array.from({ length: n }, () => scale * Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()));
}

export function integers(n: number, seed: number, below: number): Int32Array {
  const random = randomSource(seed);
  return Int32Array.from({ length: n }, () => Math.floor(random() * below));
}

/** d(Σ weights·f(x))/dx by central differences in f64. */
export function centralDifferences(f: (x: Float64Array) => ArrayLike<number>, x: ArrayLike<number>, weights: ArrayLike<number>, h = 1e-5): Float64Array {
  const at = Float64Array.from(x);
  const dot = (): number => { const y = f(at); let s = 0; for (let i = 0; i < y.length; i++) s += y[i] * weights[i]; return s; };
  return Float64Array.from(at, (value, i) => {
    at[i] = value + h;
    const above = dot();
    at[i] = value - h;
    const below = dot();
    at[i] = value;
    return (above - below) / (2 * h);
  });
}

/** ‖a − b‖ / ‖b‖ */
export function relativeNorm(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let difference = 0;
  let size = 0;
  for (let i = 0; i < b.length; i++) {
    difference += (a[i] - b[i]) ** 2;
    size += b[i] ** 2;
  }
  return Math.sqrt(difference / (size || 1));
}
