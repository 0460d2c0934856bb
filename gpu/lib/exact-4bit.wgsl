// Parts of a 4-bit tensor in arithmetic on bits, so that values are the same on every GPU; src/ops/weights-4bit.ts.

fn scale_of(block: u32) -> u32 {
  if (params.nested == 0u) { return absmax[block]; }
  let q = (absmax[block / 4u] >> (8u * (block % 4u))) & 255u;
  return f32_sum(f32_product(nestedCode[q], nestedAbsmax[block / 256u]), bitcast<u32>(params.nestedOffset));
}

fn nibble_at(e: u32) -> u32 {
  return (packed[e / 8u] >> (4u * ((e % 8u) ^ 1u))) & 15u;
}
