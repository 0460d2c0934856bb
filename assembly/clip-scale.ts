export function clipScale(
  partials: usize, // f32[count]
  clip: usize, // f32[2]
  count: i32, maxNorm: f32,
  begin: i32, end: i32, scratch: usize,
): void {
  if (begin == end) return;
  let total: f64 = 0;
  for (let i = 0; i < count; i++) total += <f64>load<f32>(partials + (<usize>i << 2));
  const norm = <f32>sqrt(total);
  store<f32>(clip, norm);
  store<f32>(clip, maxNorm > 0 ? min<f32>(1, maxNorm / (norm + <f32>1e-6)) : 1, 4);
}
