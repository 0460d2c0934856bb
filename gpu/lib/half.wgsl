// f16 and bf16 ↔ f32 in integer arithmetic, on bits: to nearest, ties to even; a NaN that is rounded becomes the quiet
// NaN of its sign. No shader arithmetic touches the value, so neither rounding modes nor flushing of denormals matter.

fn f32_to_bf16(bits: u32) -> u32 {
  if ((bits & 0x7fffffffu) > 0x7f800000u) { return ((bits >> 16u) & 0x8000u) | 0x7fc0u; }
  return (bits + 0x7fffu + ((bits >> 16u) & 1u)) >> 16u;
}

fn f32_to_f16(bits: u32) -> u32 {
  let sign = (bits >> 16u) & 0x8000u;
  let size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) { return sign | 0x7e00u; }
  if (size >= 0x477ff000u) { return sign | 0x7c00u; } // from 65520 on
  if (size >= 0x38800000u) { return sign | ((size - 0x38000000u + 0x0fffu + ((size >> 13u) & 1u)) >> 13u); }
  if (size < 0x33000000u) { return sign; } // below half of 2^-24
  // A denormal counts multiples of 2^-24.
  let mantissa = (size & 0x7fffffu) | 0x800000u;
  let shift = 126u - (size >> 23u);
  let odd = (mantissa >> shift) & 1u;
  return sign | ((mantissa + ((1u << (shift - 1u)) - 1u) + odd) >> shift);
}

fn f16_to_f32(half: u32) -> u32 {
  let sign = (half & 0x8000u) << 16u;
  let size = half & 0x7fffu;
  if (size >= 0x7c00u) { return sign | 0x7f800000u | ((size & 0x3ffu) << 13u); }
  if (size >= 0x0400u) { return sign | ((size << 13u) + 0x38000000u); }
  if (size == 0u) { return sign; }
  let top = firstLeadingBit(size); // size · 2^-24 = 1.… · 2^(top − 24)
  return sign | ((top + 103u) << 23u) | ((size << (23u - top)) & 0x7fffffu);
}

// What `round` of a quant state says: 0 leaves an f32, 1 rounds it to f16, 2 to bf16.
fn rounded(bits: u32, round: u32) -> u32 {
  if (round == 1u) { return f16_to_f32(f32_to_f16(bits)); }
  if (round == 2u) { return f32_to_bf16(bits) << 16u; }
  return bits;
}
