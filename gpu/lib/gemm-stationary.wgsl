// The product of lib/gemm.wgsl by a 4-bit matrix, with its sums and without workgroup memory: an invocation owns ROWS rows
// × 8 columns. It decodes 16 of the depth, keeps them in registers while it goes down the rows, and keeps y, so far
// summed, in memory: decoding costs more than reading, and happens once for ROWS rows.
override ACROSS: u32;
const ROWS = 256u;

var<private> levels: array<vec4f, 4>; // the code table: choosing among registers is cheaper than 128 reads

fn level_of(nibble: u32) -> f32 {
  let above = (nibble & 4u) != 0u;
  let four = select(select(levels[0], levels[1], above), select(levels[2], levels[3], above), (nibble & 8u) != 0u);
  let two = select(four.xy, four.zw, (nibble & 2u) != 0u);
  return select(two.x, two.y, (nibble & 1u) != 0u);
}

// The 8 elements from e on, of one word and one block.
fn eight_weights(e: u32) -> mat2x4f {
  let word = packed[e / 8u];
  let scale = block_scale(e >> firstTrailingBit(params.blocksize));
  return mat2x4f(
    rounded_line(scale * vec4f(level_of(word >> 4u), level_of(word), level_of(word >> 12u), level_of(word >> 8u))),
    rounded_line(scale * vec4f(level_of(word >> 20u), level_of(word >> 16u), level_of(word >> 28u), level_of(word >> 24u))),
  );
}

// Two squares side by side: four rows of the matrix as it is stored, eight of each.
fn two_squares(e: u32) -> array<mat4x4f, 2> {
  let a = eight_weights(e);
  let b = eight_weights(e + params.k);
  let c = eight_weights(e + 2u * params.k);
  let d = eight_weights(e + 3u * params.k);
  return array<mat4x4f, 2>(mat4x4f(a[0], b[0], c[0], d[0]), mat4x4f(a[1], b[1], c[1], d[1]));
}

// Squares (0, 0), (0, 4), (4, 0), (4, 4) of eight of the depth and eight columns.
fn four_squares(d: u32, column: u32) -> array<mat4x4f, 4> {
  if (B_ALONG_DEPTH) {
    let left = two_squares(column * params.k + d);
    let right = two_squares((column + 4u) * params.k + d);
    return array<mat4x4f, 4>(transpose(left[0]), transpose(right[0]), transpose(left[1]), transpose(right[1]));
  }
  let top = two_squares(d * params.k + column);
  let bottom = two_squares((d + 4u) * params.k + column);
  return array<mat4x4f, 4>(top[0], top[1], bottom[0], bottom[1]);
}

@compute @workgroup_size(ACROSS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = sizes();
  let tiles = (size.rows + ROWS - 1u) / ROWS;
  let at = workgroup_of(id, count);
  let first = at % tiles * ROWS;
  let column = 8u * (at / tiles * ACROSS + lane);
  if (column >= size.columns) { return; }
  for (var i = 0u; i < 4u; i++) { levels[i] = vec4f(code[4u * i], code[4u * i + 1u], code[4u * i + 2u], code[4u * i + 3u]); }
  for (var depth = 0u; depth < size.depth; depth += 16u) {
    let b = four_squares(depth, column);
    let c = four_squares(depth + 8u, column);
    for (var row = first; row < min(first + ROWS, size.rows); row += 4u) {
      let a0 = a_square(row, depth);
      let a1 = a_square(row, depth + 4u);
      let a2 = a_square(row, depth + 8u);
      let a3 = a_square(row, depth + 12u);
      let left = square_of_out(row, column, depth > 0u);
      put_square(row, column, multiplied(a3, c[2], multiplied(a2, c[0], multiplied(a1, b[2], multiplied(a0, b[0], left)))));
      let right = square_of_out(row, column + 4u, depth > 0u);
      put_square(row, column + 4u, multiplied(a3, c[3], multiplied(a2, c[1], multiplied(a1, b[3], multiplied(a0, b[1], right)))));
    }
  }
}
