// Few rows, as when tokens are generated one by one: the product of lib/gemm.wgsl, with the same sums, for four rows.
// A workgroup of 64 owns 64 columns, an invocation one of them.
const TILE = 64u; // columns
const DEPTH = 16u;

var<workgroup> a_tile: array<vec4f, 16>; // f32[DEPTH, 4]: four rows side by side
var<workgroup> b_tile: array<vec4f, 256>; // f32[DEPTH, TILE]: four columns side by side

// rows, columns, depth
struct Sizes { rows: u32, columns: u32, depth: u32 }

fn a_or_zero(row: u32, d: u32, size: Sizes) -> f32 {
  if (row >= size.rows || d >= size.depth) { return 0.0; }
  return a_at(row, d);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = sizes();
  let tiles = (size.rows + 3u) / 4u;
  let at = workgroup_of(id, count);
  let row = at % tiles * 4u;
  let tile_column = at / tiles * TILE;
  if (tile_column >= size.columns) { return; }
  let column = tile_column + lane;
  var sum = start_of(row, column, size);
  for (var depth = 0u; depth < size.depth; depth += DEPTH) {
    if (lane < DEPTH) {
      let d = depth + lane;
      a_tile[lane] = vec4f(a_or_zero(row, d, size), a_or_zero(row + 1u, d, size), a_or_zero(row + 2u, d, size), a_or_zero(row + 3u, d, size));
    }
    fill_b(tile_column, depth, size, lane);
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) { sum = fma(a_tile[d], vec4f(b_tile[d * TILE / 4u + lane / 4u][lane % 4u]), sum); }
    workgroupBarrier();
  }
  if (column >= size.columns) { return; }
  for (var i = 0u; i < min(4u, size.rows - row); i++) { out_put((row + i) * size.columns + column, sum[i]); }
}

// 0, or what y holds already.
fn start_of(row: u32, column: u32, size: Sizes) -> vec4f {
  var value = vec4f();
  if (params.accumulate == 0u || column >= size.columns) { return value; }
  for (var i = 0u; i < min(4u, size.rows - row); i++) { value[i] = out_at((row + i) * size.columns + column); }
  return value;
}
