// y one element after the other: its lines may begin anywhere.
alias Out = f32;

// How many of four columns from `column` on exist. Compilers do not know it, so loops up to it stay loops: drivers that
// unroll everything take seconds over these shaders.
fn existing(column: u32, size: Sizes) -> u32 {
  return min(4u, max(column, size.columns) - column);
}

// Four of a row of y from `column` on: 0, or with `accumulate` or once `begun` what it holds.
fn line_of_out(row: u32, column: u32, begun: bool) -> vec4f {
  var line = vec4f();
  let size = sizes();
  if ((params.accumulate == 0u && !begun) || row >= size.rows) { return line; }
  for (var i = 0u; i < existing(column, size); i++) { line[i] = out_at(row * size.columns + column + i); }
  return line;
}

fn put_line(row: u32, column: u32, line: vec4f) {
  let size = sizes();
  if (row >= size.rows) { return; }
  for (var i = 0u; i < existing(column, size); i++) { out_put(row * size.columns + column + i, line[i]); }
}
