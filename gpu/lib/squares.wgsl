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

// Four rows of four of y, as line_of_out() gives them.
fn square_of_out(row: u32, column: u32, begun: bool) -> mat4x4f {
  return mat4x4f(line_of_out(row, column, begun), line_of_out(row + 1u, column, begun), line_of_out(row + 2u, column, begun), line_of_out(row + 3u, column, begun));
}

fn put_square(row: u32, column: u32, y: mat4x4f) {
  put_line(row, column, y[0]);
  put_line(row + 1u, column, y[1]);
  put_line(row + 2u, column, y[2]);
  put_line(row + 3u, column, y[3]);
}

// y plus the product of a square of a and one of b, one of the depth after the other.
fn multiplied(a: mat4x4f, b: mat4x4f, y: mat4x4f) -> mat4x4f {
  return mat4x4f(line_plus(y[0], a, b, 0u), line_plus(y[1], a, b, 1u), line_plus(y[2], a, b, 2u), line_plus(y[3], a, b, 3u));
}

fn line_plus(y: vec4f, a: mat4x4f, b: mat4x4f, r: u32) -> vec4f {
  return fma(vec4f(a[3][r]), b[3], fma(vec4f(a[2][r]), b[2], fma(vec4f(a[1][r]), b[1], fma(vec4f(a[0][r]), b[0], y))));
}
