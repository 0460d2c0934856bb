// A workgroup owns a row, an invocation every 256th element of it.
struct Params { rows: u32, n: u32, eps: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // f32[rows, n]
@group(0) @binding(2) var<storage, read> weight: array<f32>; // f32[n]
@group(0) @binding(3) var<storage, read_write> y: array<f32>; // f32[rows, n]
@group(0) @binding(4) var<storage, read_write> rstd: array<f32>; // f32[rows]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = workgroup_of(id, count);
  if (row >= params.rows) { return; }
  let begin = row * params.n;
  var sum = 0.0;
  for (var i = lane; i < params.n; i += 256u) { sum = fma(x[begin + i], x[begin + i], sum); }
  let r = 1.0 / sqrt(sum_of_workgroup(sum, lane) / f32(params.n) + params.eps);
  if (lane == 0u) { rstd[row] = r; }
  for (var i = lane; i < params.n; i += 256u) { y[begin + i] = x[begin + i] * r * weight[i]; }
}
