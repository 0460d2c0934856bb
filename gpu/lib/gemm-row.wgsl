// Few rows, as when tokens are generated one by one: the product of lib/gemm.wgsl, with the same sums, for four rows.
// A workgroup of 64 owns 64 columns, an invocation one of them; b passes through workgroup memory, 16 of the depth at a time.
const ACROSS = 16u;
const DEPTH = 16u;

var<workgroup> a_tile: array<LineA, 16>; // [DEPTH, 4]: four rows side by side
var<workgroup> b_tile: array<LineB, 256>; // [DEPTH, 64]: four columns side by side

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = sizes();
  let tiles = (size.rows + 3u) / 4u;
  let at = workgroup_of(id, count);
  let row = at % tiles * 4u;
  let tile_column = at / tiles * 64u;
  if (tile_column >= size.columns) { return; }
  let column = tile_column + lane;
  var sum = column_of_out(row, column);
  for (var depth = 0u; depth < size.depth; depth += DEPTH) {
    let steps = min(DEPTH, (size.depth - depth + 3u) / 4u * 4u);
    if (4u * lane < steps) {
      let a = a_square(row, depth + 4u * lane);
      for (var j = 0u; j < 4u; j++) { a_tile[4u * lane + j] = kept_a(a[j]); }
    }
    if (lane < steps * 4u) {
      let place = b_place(lane, steps / 4u);
      let b = b_square(depth + 4u * place.x, tile_column + 4u * place.y);
      for (var j = 0u; j < 4u; j++) { b_tile[(4u * place.x + j) * ACROSS + place.y] = kept_b(b[j]); }
    }
    workgroupBarrier();
    for (var d = 0u; d < steps; d++) { sum = fma(vec4f(a_tile[d]), vec4f(f32(b_tile[d * ACROSS + lane / 4u][lane % 4u])), sum); }
    workgroupBarrier();
  }
  if (column >= size.columns) { return; }
  for (var i = 0u; i < min(4u, size.rows - row); i++) { out_put((row + i) * size.columns + column, sum[i]); }
}

// Four of a column of y: 0, or with `accumulate` what it holds.
fn column_of_out(row: u32, column: u32) -> vec4f {
  var four = vec4f();
  let size = sizes();
  if (params.accumulate == 0u || column >= size.columns) { return four; }
  for (var i = 0u; i < min(4u, size.rows - row); i++) { four[i] = out_at((row + i) * size.columns + column); }
  return four;
}
