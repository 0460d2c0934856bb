// y in lines of four: every row begins at a multiple of 4.
alias Out = vec4f;

// Four of a row of y from `column` on: 0, or with `accumulate` or once `begun` what it holds.
fn line_of_out(row: u32, column: u32, begun: bool) -> vec4f {
  let size = sizes();
  if ((params.accumulate == 0u && !begun) || row >= size.rows) { return vec4f(); }
  return out_at((row * size.columns + column) / 4u);
}

fn put_line(row: u32, column: u32, line: vec4f) {
  let size = sizes();
  if (row < size.rows && column < size.columns) { out_put((row * size.columns + column) / 4u, line); }
}
