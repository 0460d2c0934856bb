const ROWS_PER_TILE = 64;

export function embedding(
  ids: usize, // i32[rows]
  table: usize, // f32[vocab, n]
  y: usize, // f32[rows, n]
  rows: i32, vocab: i32, n: i32, first: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const last = min(end * ROWS_PER_TILE, rows);
  const bytes = <usize>n << 2;
  for (let row = begin * ROWS_PER_TILE; row < last; row++) {
    const id = <u32>(load<i32>(ids + (<usize>row << 2)) - first); // ids below it wrap around and are too large
    if (id < <u32>vocab) memory.copy(y + <usize>row * bytes, table + <usize>id * bytes, bytes);
  }
}
