// y = x · Wᵀ of a 4-bit W whose rows are whole runs of 32, with the sums of lib/gemm.wgsl and without workgroup memory:
// an invocation owns ROWS rows × 4 columns. It decodes 32 of the depth, keeps them in registers while it goes down the
// rows, and keeps y, so far summed, in memory: decoding costs more than reading, and happens once for ROWS rows.
override ACROSS: u32;
const ROWS = 256u;

var<private> levels: array<vec4f, 4>; // the code table: choosing among registers is cheaper than 128 reads

fn level_of(nibble: u32) -> f32 {
  let above = (nibble & 4u) != 0u;
  let four = select(select(levels[0], levels[1], above), select(levels[2], levels[3], above), (nibble & 8u) != 0u);
  let two = select(four.xy, four.zw, (nibble & 2u) != 0u);
  return select(two.x, two.y, (nibble & 1u) != 0u);
}

// 32 elements from e on, of four words and one block.
fn run_of_weights(e: u32) -> array<vec4f, 8> {
  var run: array<vec4f, 8>;
  let scale = block_scale(e >> firstTrailingBit(params.blocksize));
  for (var i = 0u; i < 4u; i++) {
    let word = packed[e / 8u + i];
    run[2u * i] = rounded_line(scale * vec4f(level_of(word >> 4u), level_of(word), level_of(word >> 12u), level_of(word >> 8u)));
    run[2u * i + 1u] = rounded_line(scale * vec4f(level_of(word >> 20u), level_of(word >> 16u), level_of(word >> 28u), level_of(word >> 24u)));
  }
  return run;
}

@compute @workgroup_size(ACROSS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = sizes();
  let tiles = (size.rows + ROWS - 1u) / ROWS;
  let at = workgroup_of(id, count);
  let first = at % tiles * ROWS;
  let column = 4u * (at / tiles * ACROSS + lane);
  if (column >= size.columns) { return; }
  for (var i = 0u; i < 4u; i++) { levels[i] = vec4f(code[4u * i], code[4u * i + 1u], code[4u * i + 2u], code[4u * i + 3u]); }
  for (var depth = 0u; depth < size.depth; depth += 32u) {
    let w0 = run_of_weights(column * size.depth + depth);
    let w1 = run_of_weights((column + 1u) * size.depth + depth);
    let w2 = run_of_weights((column + 2u) * size.depth + depth);
    let w3 = run_of_weights((column + 3u) * size.depth + depth);
    for (var row = first; row < min(first + ROWS, size.rows); row += 4u) {
      var y: mat4x4f;
      for (var r = 0u; r < 4u; r++) { y[r] = line_of_out(row + r, column, depth > 0u); }
      for (var j = 0u; j < 8u; j++) {
        let a = a_square(row, depth + 4u * j);
        for (var i = 0u; i < 4u; i++) {
          let b = vec4f(w0[j][i], w1[j][i], w2[j][i], w3[j][i]);
          for (var r = 0u; r < 4u; r++) { y[r] = fma(vec4f(a[i][r]), b, y[r]); }
        }
      }
      for (var r = 0u; r < 4u; r++) { put_line(row + r, column, y[r]); }
    }
  }
}
