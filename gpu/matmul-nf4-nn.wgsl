// How the sums are cut and added: gpu/lib/gemm.wgsl and its siblings.
struct Params { m: u32, n: u32, k: u32, dyStride: u32, blocksize: u32, nested: u32, nestedOffset: f32, round: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<vec4f>; // f32[m, n], rows dyStride apart
@group(0) @binding(2) var<storage, read> packed: array<u32>; // u8[ceil(n · k / 2)], eight elements a word
@group(0) @binding(3) var<storage, read> absmax: array<u32>; // f32[blocks], with nested u8[blocks]
@group(0) @binding(4) var<storage, read> code: array<f32>; // f32[16]
@group(0) @binding(5) var<storage, read> nestedAbsmax: array<f32>; // with nested f32[ceil(blocks / 256)]
@group(0) @binding(6) var<storage, read> nestedCode: array<f32>; // with nested f32[256]
@group(0) @binding(7) var<storage, read_write> dx: array<Out>; // f32[m, k]

const B_ALONG_DEPTH = false;

fn sizes() -> Sizes { return Sizes(params.m, params.k, params.n); }
fn out_at(i: u32) -> Out { return dx[i]; }
fn out_put(i: u32, value: Out) { dx[i] = value; }

fn dy_length() -> u32 { return 4u * arrayLength(&dy); }
fn dy_line(i: u32) -> vec4f {
  if (ALIGNED) { return dy[i / 4u]; }
  var line = vec4f();
  for (var j = 0u; j < min(4u, dy_length() - i); j++) { line[j] = dy[(i + j) / 4u][(i + j) % 4u]; }
  return line;
}
fn a_square(row: u32, d: u32) -> mat4x4f {
  let i = row * params.dyStride + d;
  return inside(transpose(mat4x4f(dy_line(i), dy_line(i + params.dyStride), dy_line(i + 2u * params.dyStride), dy_line(i + 3u * params.dyStride))), d);
}

fn b_square(d: u32, column: u32) -> mat4x4f {
  let e = d * params.k + column;
  return inside(mat4x4f(four_weights(e), four_weights(e + params.k), four_weights(e + 2u * params.k), four_weights(e + 3u * params.k)), d);
}
