// How the sums are cut and added: gpu/lib/gemm.wgsl. Each weight of a tile is decoded once.
struct Params { m: u32, n: u32, k: u32, blocksize: u32, nested: u32, nestedOffset: f32, round: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>; // f32[m, n]
@group(0) @binding(2) var<storage, read> packed: array<u32>; // u8[ceil(n · k / 2)], eight elements a word
@group(0) @binding(3) var<storage, read> absmax: array<u32>; // f32[blocks], with nested u8[blocks]
@group(0) @binding(4) var<storage, read> code: array<f32>; // f32[16]
@group(0) @binding(5) var<storage, read> nestedAbsmax: array<f32>; // with nested f32[ceil(blocks / 256)]
@group(0) @binding(6) var<storage, read> nestedCode: array<f32>; // with nested f32[256]
@group(0) @binding(7) var<storage, read_write> dx: array<f32>; // f32[m, k]

fn sizes() -> Sizes { return Sizes(params.m, params.k, params.n); }
fn out_at(i: u32) -> f32 { return dx[i]; }
fn out_put(i: u32, value: f32) { dx[i] = value; }
fn a_at(row: u32, d: u32) -> f32 { return dy[row * params.n + d]; }

// Four columns of one row of W at a time: its rows are the depth.
fn fill_b(column: u32, depth: u32, size: Sizes, lane: u32) {
  for (var i = lane; i < DEPTH * TILE / 4u; i += 64u) {
    let d = depth + i / (TILE / 4u);
    let c = column + i % (TILE / 4u) * 4u;
    if (d < size.depth && c < size.columns) { b_tile[i] = four_weights(d * size.columns + c, size.columns - c); }
    else { b_tile[i] = vec4f(); }
  }
}
