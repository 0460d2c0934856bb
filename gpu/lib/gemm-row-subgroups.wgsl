// As lib/gemm-row.wgsl, for a b that is contiguous along the depth: a workgroup of 64 owns 4 columns of four rows, an
// invocation every 64th square of the depth, without workgroup memory until subgroups add up: not in lib/gemm.wgsl's order.
const ACROSS = 1u; // squares of columns

var<workgroup> partials: array<mat4x4f, 16>; // by subgroup of at least 4

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = sizes();
  let tiles = (size.rows + 3u) / 4u;
  let at = workgroup_of(id, count);
  let row = at % tiles * 4u;
  let column = at / tiles * 4u;
  if (column >= size.columns) { return; }
  var y = mat4x4f();
  for (var d = 4u * lane; d < size.depth; d += 256u) {
    let a = a_square(row, d);
    let b = b_square(d, column);
    for (var i = 0u; i < 4u; i++) {
      for (var r = 0u; r < 4u; r++) { y[r] = fma(vec4f(a[i][r]), b[i], y[r]); }
    }
  }
  for (var r = 0u; r < 4u; r++) { y[r] = subgroupAdd(y[r]); }
  let width = subgroupAdd(1u);
  if (subgroupElect()) { partials[lane / width] = y; }
  workgroupBarrier();
  if (lane >= 4u) { return; }
  var line = line_of_out(row + lane, column, false);
  for (var s = 0u; s < 64u / width; s++) { line += partials[s][lane]; }
  put_line(row + lane, column, line);
}
