// The right factor of a product of dense matrices; the op gives b_at().
fn b_or_zero(d: u32, column: u32, size: Sizes) -> f32 {
  if (d >= size.depth || column >= size.columns) { return 0.0; }
  return b_at(d, column, size);
}

fn fill_b(column: u32, depth: u32, size: Sizes, lane: u32) {
  for (var i = lane; i < DEPTH * TILE / 4u; i += 64u) {
    let place = b_place(i);
    let d = depth + place.x;
    let c = column + place.y;
    b_tile[place.x * TILE / 4u + place.y / 4u] = vec4f(b_or_zero(d, c, size), b_or_zero(d, c + 1u, size), b_or_zero(d, c + 2u, size), b_or_zero(d, c + 3u, size));
  }
}
