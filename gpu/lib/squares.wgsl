// Matrices are read in squares of 4 × 4, a line of four at a time. Each op gives a_square(row, d), whose columns are
// a[row … row + 3, d + i], b_square(d, column), whose columns are b[d + i, column … column + 3], and sizes(), out_at(),
// out_put() of elements or, lib/out-lines.wgsl, lines of y. What lies outside along the depth is 0; outside rows and columns, anything: it is never stored.
override ALIGNED: bool; // every line begins at a multiple of 4, and the depth is one

// rows, columns, depth
struct Sizes { rows: u32, columns: u32, depth: u32 }

fn inside(square: mat4x4f, d: u32) -> mat4x4f {
  if (ALIGNED) { return square; }
  let wanted = sizes().depth - d;
  return mat4x4f(square[0], select(vec4f(), square[1], wanted > 1u), select(vec4f(), square[2], wanted > 2u), select(vec4f(), square[3], wanted > 3u));
}

// For tiles of b: square of the depth and of the columns for invocation i; neighbours in memory go to neighbours.
fn b_place(i: u32, deep: u32) -> vec2u {
  return select(vec2u(i / ACROSS, i % ACROSS), vec2u(i % deep, i / deep), B_ALONG_DEPTH);
}
