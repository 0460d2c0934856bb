// y[rows, columns] (+)= Σ over depth, one after the other, of a[row, d] · b[d, column], without workgroup memory:
// an invocation owns 4 · SQUARES rows × 4 columns, a workgroup ACROSS × DOWN invocations.
override ACROSS: u32;
override DOWN: u32;
const SQUARES = 2u;

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let size = sizes();
  let tiles = (size.rows + 4u * SQUARES * DOWN - 1u) / (4u * SQUARES * DOWN);
  let at = workgroup_of(id, count);
  let row = 4u * SQUARES * (at % tiles * DOWN + local.y);
  let column = 4u * (at / tiles * ACROSS + local.x);
  if (row >= size.rows || column >= size.columns) { return; }
  var y: array<mat4x4f, SQUARES>;
  for (var s = 0u; s < SQUARES; s++) {
    for (var r = 0u; r < 4u; r++) { y[s][r] = line_of_out(row + 4u * s + r, column, false); }
  }
  for (var d = 0u; d < size.depth; d += 4u) {
    let b = b_square(d, column);
    for (var s = 0u; s < SQUARES; s++) {
      let a = a_square(row + 4u * s, d);
      for (var i = 0u; i < 4u; i++) {
        for (var r = 0u; r < 4u; r++) { y[s][r] = fma(vec4f(a[i][r]), b[i], y[s][r]); }
      }
    }
  }
  for (var s = 0u; s < SQUARES; s++) {
    for (var r = 0u; r < 4u; r++) { put_line(row + 4u * s + r, column, y[s][r]); }
  }
}
