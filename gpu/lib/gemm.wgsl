// The one matrix product: y[rows, columns] (+)= Σ over depth, one after the other, of a[row, d] · b[d, column].
// A workgroup of 64 owns a tile of 32 × 32 of y, an invocation 4 × 4 of it. Both factors pass through workgroup memory,
// 16 of the depth at a time. The op says what they are: sizes(), a_at(), fill_b(), out_at(), out_put().
const TILE = 32u; // rows and columns
const DEPTH = 16u;

var<workgroup> a_tile: array<vec4f, 128>; // f32[DEPTH, TILE]: four rows side by side
var<workgroup> b_tile: array<vec4f, 128>; // f32[DEPTH, TILE]: four columns side by side

// rows, columns, depth
struct Sizes { rows: u32, columns: u32, depth: u32 }

fn fill_a(row: u32, depth: u32, size: Sizes, lane: u32) {
  for (var i = lane; i < DEPTH * TILE / 4u; i += 64u) {
    let d = i % DEPTH;
    let r = i / DEPTH * 4u;
    a_tile[d * TILE / 4u + r / 4u] = vec4f(
      a_or_zero(row + r, depth + d, size), a_or_zero(row + r + 1u, depth + d, size),
      a_or_zero(row + r + 2u, depth + d, size), a_or_zero(row + r + 3u, depth + d, size),
    );
  }
}

fn a_or_zero(row: u32, d: u32, size: Sizes) -> f32 {
  if (row >= size.rows || d >= size.depth) { return 0.0; }
  return a_at(row, d);
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = sizes();
  let tiles = (size.rows + TILE - 1u) / TILE;
  let at = workgroup_of(id, count);
  // Neighbours share columns: what they read of b is still in the cache.
  let tile_row = at % tiles * TILE;
  let tile_column = at / tiles * TILE;
  if (tile_column >= size.columns) { return; }
  let row = tile_row + lane / 8u * 4u;
  let column = tile_column + lane % 8u * 4u;
  var y0 = start_of(row, column, size);
  var y1 = start_of(row + 1u, column, size);
  var y2 = start_of(row + 2u, column, size);
  var y3 = start_of(row + 3u, column, size);
  for (var depth = 0u; depth < size.depth; depth += DEPTH) {
    fill_a(tile_row, depth, size, lane);
    fill_b(tile_column, depth, size, lane);
    workgroupBarrier();
    for (var d = 0u; d < DEPTH; d++) {
      let a = a_tile[d * TILE / 4u + lane / 8u];
      let b = b_tile[d * TILE / 4u + lane % 8u];
      y0 = fma(vec4f(a.x), b, y0);
      y1 = fma(vec4f(a.y), b, y1);
      y2 = fma(vec4f(a.z), b, y2);
      y3 = fma(vec4f(a.w), b, y3);
    }
    workgroupBarrier();
  }
  store(row, column, size, y0);
  store(row + 1u, column, size, y1);
  store(row + 2u, column, size, y2);
  store(row + 3u, column, size, y3);
}

// 0, or what y holds already.
fn start_of(row: u32, column: u32, size: Sizes) -> vec4f {
  var value = vec4f();
  if (params.accumulate == 0u || row >= size.rows) { return value; }
  for (var i = 0u; i < 4u; i++) {
    if (column + i < size.columns) { value[i] = out_at(row * size.columns + column + i); }
  }
  return value;
}

fn store(row: u32, column: u32, size: Sizes, value: vec4f) {
  if (row >= size.rows) { return; }
  for (var i = 0u; i < 4u; i++) {
    if (column + i < size.columns) { out_put(row * size.columns + column + i, value[i]); }
  }
}
