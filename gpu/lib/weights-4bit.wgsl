// Decoding of a 4-bit matrix; what the operands mean: src/ops/weights-4bit.ts.

fn block_scale(block: u32) -> f32 {
  if (params.nested == 0u) { return bitcast<f32>(absmax[block]); }
  let q = (absmax[block / 4u] >> (8u * (block % 4u))) & 255u;
  return nestedCode[q] * nestedAbsmax[block / 256u] + params.nestedOffset;
}

// Element e of a word of packed bytes; the even one of a byte is in its high nibble.
fn nibble_of(word: u32, e: u32) -> u32 {
  return (word >> (((e % 8u) ^ 1u) * 4u)) & 15u;
}

// Element e of the flattened matrix, before it is rounded.
fn weight_at(e: u32) -> f32 {
  return code[nibble_of(packed[e / 8u], e)] * block_scale(e >> firstTrailingBit(params.blocksize));
}

// Elements e … e + 3: when aligned, of one word and one block.
fn four_weights(e: u32) -> vec4f {
  if (!ALIGNED) {
    var line = vec4f();
    for (var i = 0u; i < min(4u, params.n * params.k - e); i++) { line[i] = weight_at(e + i); }
    return rounded_line(line);
  }
  let nibbles = packed[e / 8u] >> (4u * (e & 4u)); // 16 bits: even elements in the high nibbles of bytes
  let scale = block_scale(e >> firstTrailingBit(params.blocksize));
  return rounded_line(scale * vec4f(code[(nibbles >> 4u) & 15u], code[nibbles & 15u], code[(nibbles >> 12u) & 15u], code[(nibbles >> 8u) & 15u]));
}

// What `round` of a quant state says, as lib/half.wgsl has it, but without branches: compilers copy this for every line.
fn rounded_line(line: vec4f) -> vec4f {
  if (params.round == 0u) { return line; }
  let bits = bitcast<vec4u>(line);
  let sign = bits & vec4u(0x80000000u);
  let size = bits ^ sign;
  let nan = size > vec4u(0x7f800000u);
  if (params.round == 2u) {
    return bitcast<vec4f>(select((bits + 0x7fffu + ((bits >> vec4u(16u)) & vec4u(1u))) & vec4u(0xffff0000u), sign | vec4u(0x7fc00000u), nan));
  }
  let normal = (size + 0x0fffu + ((size >> vec4u(13u)) & vec4u(1u))) & vec4u(0xffffe000u);
  // Below 2^-14 a number counts multiples of 2^-24; below half of one it is 0.
  let shift = clamp(vec4u(126u) - min(size >> vec4u(23u), vec4u(125u)), vec4u(1u), vec4u(26u));
  let mantissa = (size & vec4u(0x7fffffu)) | vec4u(0x800000u);
  let count = (mantissa + (vec4u(1u) << (shift - 1u)) - 1u + ((mantissa >> shift) & vec4u(1u))) >> shift;
  let small = bitcast<vec4u>(vec4f(count) * 5.9604644775390625e-8);
  let finite = select(normal, small, size < vec4u(0x38800000u));
  return bitcast<vec4f>(sign | select(select(finite, vec4u(0x7f800000u), size >= vec4u(0x477ff000u)), vec4u(0x7fc00000u), nan));
}
