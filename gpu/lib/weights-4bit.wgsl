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

fn decoded(nibble: u32, scale: f32) -> f32 {
  let value = code[nibble] * scale;
  if (params.round == 0u) { return value; }
  return bitcast<f32>(rounded(bitcast<u32>(value), params.round));
}

// Element e of the flattened matrix.
fn weight_at(e: u32) -> f32 {
  return decoded(nibble_of(packed[e / 8u], e), block_scale(e >> firstTrailingBit(params.blocksize)));
}

// Elements e … e + 3: when aligned, of one word and one block.
fn four_weights(e: u32) -> vec4f {
  if (!ALIGNED) { return vec4f(weight_at(e), weight_at(e + 1u), weight_at(e + 2u), weight_at(e + 3u)); }
  let word = packed[e / 8u];
  let scale = block_scale(e >> firstTrailingBit(params.blocksize));
  return vec4f(
    decoded(nibble_of(word, e), scale), decoded(nibble_of(word, e + 1u), scale),
    decoded(nibble_of(word, e + 2u), scale), decoded(nibble_of(word, e + 3u), scale),
  );
}
