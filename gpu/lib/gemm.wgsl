// y[rows, columns] (+)= Σ over depth, one after the other, of a[row, d] · b[d, column], through workgroup memory (lib/tiles-*.wgsl):
// an invocation owns 8 rows × 4 columns, a workgroup ACROSS × DOWN invocations, 16 of the depth at a time.
override ACROSS: u32;
override DOWN: u32;
const DEPTH = 16u;

var<workgroup> a_tile: array<LineA, DEPTH * DOWN * 2u>; // [DEPTH, rows]: four rows side by side
var<workgroup> b_tile: array<LineB, DEPTH * ACROSS>; // [DEPTH, columns]: four columns side by side

fn fill(row: u32, column: u32, depth: u32, steps: u32, lane: u32) {
  for (var i = lane; i < steps / 4u * DOWN * 2u; i += ACROSS * DOWN) {
    let d = i % (steps / 4u) * 4u;
    let r = i / (steps / 4u);
    let square = a_square(row + 4u * r, depth + d);
    for (var j = 0u; j < 4u; j++) { a_tile[(d + j) * DOWN * 2u + r] = kept_a(square[j]); }
  }
  for (var i = lane; i < steps / 4u * ACROSS; i += ACROSS * DOWN) {
    let place = b_place(i, steps / 4u);
    let square = b_square(depth + 4u * place.x, column + 4u * place.y);
    for (var j = 0u; j < 4u; j++) { b_tile[(4u * place.x + j) * ACROSS + place.y] = kept_b(square[j]); }
  }
}

@compute @workgroup_size(ACROSS, DOWN)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_id) local: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = sizes();
  let tiles = (size.rows + 8u * DOWN - 1u) / (8u * DOWN);
  let at = workgroup_of(id, count);
  // Neighbours share columns: what they read of b is still in the cache.
  let tile_row = at % tiles * 8u * DOWN;
  let tile_column = at / tiles * 4u * ACROSS;
  if (tile_column >= size.columns) { return; }
  let row = tile_row + 8u * local.y;
  let column = tile_column + 4u * local.x;
  var y: array<vec4f, 8>;
  for (var r = 0u; r < 8u; r++) { y[r] = line_of_out(row + r, column, false); }
  for (var depth = 0u; depth < size.depth; depth += DEPTH) {
    let steps = min(DEPTH, (size.depth - depth + 3u) / 4u * 4u);
    fill(tile_row, tile_column, depth, steps, lane);
    workgroupBarrier();
    for (var d = 0u; d < steps; d++) {
      let a0 = vec4f(a_tile[(d * DOWN + local.y) * 2u]);
      let a1 = vec4f(a_tile[(d * DOWN + local.y) * 2u + 1u]);
      let b = vec4f(b_tile[d * ACROSS + local.x]);
      for (var r = 0u; r < 4u; r++) {
        y[r] = fma(vec4f(a0[r]), b, y[r]);
        y[r + 4u] = fma(vec4f(a1[r]), b, y[r + 4u]);
      }
    }
    workgroupBarrier();
  }
  for (var r = 0u; r < 8u; r++) { put_line(row + r, column, y[r]); }
}
