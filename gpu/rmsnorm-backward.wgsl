// A workgroup owns a row, an invocation every 256th element of it.
struct Params { rows: u32, n: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>; // f32[rows, n]
@group(0) @binding(2) var<storage, read> x: array<f32>; // f32[rows, n]
@group(0) @binding(3) var<storage, read> weight: array<f32>; // f32[n]
@group(0) @binding(4) var<storage, read> rstd: array<f32>; // f32[rows]
@group(0) @binding(5) var<storage, read_write> dx: array<f32>; // f32[rows, n]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = workgroup_of(id, count);
  if (row >= params.rows) { return; }
  let begin = row * params.n;
  var sum = 0.0;
  for (var i = lane; i < params.n; i += 256u) { sum = fma(dy[begin + i] * weight[i], x[begin + i], sum); }
  let r = rstd[row];
  let factor = sum_of_workgroup(sum, lane) / f32(params.n) * r * r * r;
  for (var i = lane; i < params.n; i += 256u) {
    let value = r * dy[begin + i] * weight[i] - x[begin + i] * factor;
    if (params.accumulate != 0u) { dx[begin + i] += value; } else { dx[begin + i] = value; }
  }
}
