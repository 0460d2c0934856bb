// How the sums are cut and added: gpu/lib/gemm.wgsl. Each weight of a tile is decoded once.
struct Params { m: u32, n: u32, k: u32, blocksize: u32, nested: u32, nestedOffset: f32, round: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // f32[m, k]
@group(0) @binding(2) var<storage, read> packed: array<u32>; // u8[ceil(n · k / 2)], eight elements a word
@group(0) @binding(3) var<storage, read> absmax: array<u32>; // f32[blocks], with nested u8[blocks]
@group(0) @binding(4) var<storage, read> code: array<f32>; // f32[16]
@group(0) @binding(5) var<storage, read> nestedAbsmax: array<f32>; // with nested f32[ceil(blocks / 256)]
@group(0) @binding(6) var<storage, read> nestedCode: array<f32>; // with nested f32[256]
@group(0) @binding(7) var<storage, read_write> y: array<f32>; // f32[m, n]

fn sizes() -> Sizes { return Sizes(params.m, params.n, params.k); }
fn out_at(i: u32) -> f32 { return y[i]; }
fn out_put(i: u32, value: f32) { y[i] = value; }
fn a_at(row: u32, d: u32) -> f32 { return x[row * params.k + d]; }

// Squares of four columns (rows of W) × four of the depth.
fn fill_b(column: u32, depth: u32, size: Sizes, lane: u32) {
  for (var i = lane; i < TILE * DEPTH / 16u; i += 64u) {
    let d = i % (DEPTH / 4u) * 4u;
    let c = i / (DEPTH / 4u) * 4u;
    let w0 = row_of_weights(column + c, depth + d);
    let w1 = row_of_weights(column + c + 1u, depth + d);
    let w2 = row_of_weights(column + c + 2u, depth + d);
    let w3 = row_of_weights(column + c + 3u, depth + d);
    let at = d * TILE / 4u + c / 4u;
    b_tile[at] = vec4f(w0.x, w1.x, w2.x, w3.x);
    b_tile[at + TILE / 4u] = vec4f(w0.y, w1.y, w2.y, w3.y);
    b_tile[at + TILE / 2u] = vec4f(w0.z, w1.z, w2.z, w3.z);
    b_tile[at + 3u * TILE / 4u] = vec4f(w0.w, w1.w, w2.w, w3.w);
  }
}

fn row_of_weights(row: u32, d: u32) -> vec4f {
  if (row >= params.n || d >= params.k) { return vec4f(); }
  return four_weights(row * params.k + d, params.k - d);
}
