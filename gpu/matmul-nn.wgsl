// How the sums are cut and added: gpu/lib/gemm.wgsl.
struct Params { m: u32, n: u32, k: u32, xStride: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // f32[m, k], rows xStride apart
@group(0) @binding(2) var<storage, read> w: array<f32>; // f32[k, n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // f32[m, n]

fn sizes() -> Sizes { return Sizes(params.m, params.n, params.k); }
fn out_at(i: u32) -> f32 { return y[i]; }
fn out_put(i: u32, value: f32) { y[i] = value; }
fn a_at(row: u32, d: u32) -> f32 { return x[row * params.xStride + d]; }
fn b_at(d: u32, column: u32, size: Sizes) -> f32 { return w[d * size.columns + column]; }

// Depth and column, within the tile, of the i-th group of four columns: neighbours in memory go to neighbours.
fn b_place(i: u32) -> vec2u { return vec2u(i / (TILE / 4u), i % (TILE / 4u) * 4u); }
