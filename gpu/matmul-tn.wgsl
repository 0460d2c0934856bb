// How the sums are cut and added: gpu/lib/gemm.wgsl and its siblings.
struct Params { m: u32, n: u32, k: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<vec4f>; // f32[k, m]
@group(0) @binding(2) var<storage, read> w: array<vec4f>; // f32[k, n]
@group(0) @binding(3) var<storage, read_write> y: array<Out>; // f32[m, n]

const B_ALONG_DEPTH = false;

fn sizes() -> Sizes { return Sizes(params.m, params.n, params.k); }
fn out_at(i: u32) -> Out { return y[i]; }
fn out_put(i: u32, value: Out) { y[i] = value; }

fn x_length() -> u32 { return 4u * arrayLength(&x); }
fn x_line(i: u32) -> vec4f {
  if (ALIGNED) { return x[i / 4u]; }
  var line = vec4f();
  for (var j = 0u; j < min(4u, x_length() - i); j++) { line[j] = x[(i + j) / 4u][(i + j) % 4u]; }
  return line;
}
fn a_square(row: u32, d: u32) -> mat4x4f {
  let i = d * params.m + row;
  return inside(mat4x4f(x_line(i), x_line(i + params.m), x_line(i + 2u * params.m), x_line(i + 3u * params.m)), d);
}

fn w_length() -> u32 { return 4u * arrayLength(&w); }
fn w_line(i: u32) -> vec4f {
  if (ALIGNED) { return w[i / 4u]; }
  var line = vec4f();
  for (var j = 0u; j < min(4u, w_length() - i); j++) { line[j] = w[(i + j) / 4u][(i + j) % 4u]; }
  return line;
}
fn b_square(d: u32, column: u32) -> mat4x4f {
  let i = d * params.n + column;
  return inside(mat4x4f(w_line(i), w_line(i + params.n), w_line(i + 2u * params.n), w_line(i + 3u * params.n)), d);
}
