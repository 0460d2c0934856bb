// Blockwise symmetric integers, shared by int8 and int4.

/** max |x| of f32[n]; NaN does not count. */
export function absmaxOf(from: usize, n: i32): f32 {
  let largest: f32 = 0;
  const end = from + (<usize>n << 2);
  for (; from < end; from += 4) {
    const size = abs<f32>(load<f32>(from));
    if (size > largest) largest = size;
  }
  return largest;
}

/** Steps in a unit of x; the bound keeps it finite for blocks of denormals. */
// @ts-ignore: decorator
@inline
export function stepsPerUnit(absmax: f32, levels: f32): f32 {
  return levels / max<f32>(absmax, <f32>1e-36);
}

/** The nearest integer from −levels to levels, ties to even; NaN becomes 0. */
// @ts-ignore: decorator
@inline
export function nearestLevel(x: f32, factor: f32, levels: f32): i32 {
  const steps = nearest<f32>(x * factor);
  return steps == steps ? <i32>max<f32>(-levels, min<f32>(levels, steps)) : 0;
}
