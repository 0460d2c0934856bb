struct Params { rows: u32, n: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> bias: array<f32>; // f32[n]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // f32[rows, n]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var i = begin; i < min(begin + ELEMENTS, params.rows * params.n); i += 256u) { y[i] += bias[i % params.n]; }
}
