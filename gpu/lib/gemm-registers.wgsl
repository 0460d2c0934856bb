// y[rows, columns] (+)= Σ over depth, one after the other, of a[row, d] · b[d, column], without workgroup memory:
// an invocation owns 8 rows × 8 columns, a workgroup ACROSS invocations side by side.
override ACROSS: u32;

@compute @workgroup_size(ACROSS)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_id) local: vec3u) {
  let size = sizes();
  let tiles = (size.rows + 7u) / 8u;
  let at = workgroup_of(id, count);
  let row = 8u * (at % tiles);
  let column = 8u * (at / tiles * ACROSS + local.x);
  if (row >= size.rows || column >= size.columns) { return; }
  var y00 = square_of_out(row, column, false);
  var y01 = square_of_out(row, column + 4u, false);
  var y10 = square_of_out(row + 4u, column, false);
  var y11 = square_of_out(row + 4u, column + 4u, false);
  for (var d = 0u; d < size.depth; d += 4u) {
    let b0 = b_square(d, column);
    let b1 = b_square(d, column + 4u);
    let a0 = a_square(row, d);
    y00 = multiplied(a0, b0, y00);
    y01 = multiplied(a0, b1, y01);
    let a1 = a_square(row + 4u, d);
    y10 = multiplied(a1, b0, y10);
    y11 = multiplied(a1, b1, y11);
  }
  put_square(row, column, y00);
  put_square(row, column + 4u, y01);
  put_square(row + 4u, column, y10);
  put_square(row + 4u, column + 4u, y11);
}
