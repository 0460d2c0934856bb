// How the sums are cut and added: gpu/lib/gemm.wgsl and its siblings.
struct Params { m: u32, n: u32, k: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // f32[m, k]
@group(0) @binding(2) var<storage, read> w: array<vec4f>; // f32[n, k]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // f32[m, n]

const B_ALONG_DEPTH = true;

fn sizes() -> Sizes { return Sizes(params.m, params.n, params.k); }
fn out_at(i: u32) -> f32 { return y[i]; }
fn out_put(i: u32, value: f32) { y[i] = value; }

fn x_at(i: u32) -> f32 { return x[i / 4u][i % 4u]; }
fn x_line(i: u32) -> vec4f {
  if (ALIGNED) { return x[i / 4u]; }
  return vec4f(x_at(i), x_at(i + 1u), x_at(i + 2u), x_at(i + 3u));
}
fn a_square(row: u32, d: u32) -> mat4x4f {
  let i = row * params.k + d;
  return inside(transpose(mat4x4f(x_line(i), x_line(i + params.k), x_line(i + 2u * params.k), x_line(i + 3u * params.k))), d);
}

fn w_at(i: u32) -> f32 { return w[i / 4u][i % 4u]; }
fn w_line(i: u32) -> vec4f {
  if (ALIGNED) { return w[i / 4u]; }
  return vec4f(w_at(i), w_at(i + 1u), w_at(i + 2u), w_at(i + 3u));
}
fn b_square(d: u32, column: u32) -> mat4x4f {
  let i = column * params.k + d;
  return inside(transpose(mat4x4f(w_line(i), w_line(i + params.k), w_line(i + 2u * params.k), w_line(i + 3u * params.k))), d);
}
