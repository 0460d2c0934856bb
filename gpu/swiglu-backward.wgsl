struct Params { n: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>; // f32[n]
@group(0) @binding(2) var<storage, read_write> gate: array<f32>; // f32[n], then its gradient
@group(0) @binding(3) var<storage, read_write> up: array<f32>; // f32[n], then its gradient
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // f32[n]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var i = begin; i < min(begin + ELEMENTS, params.n); i += 256u) {
    let g = gate[i];
    let u = up[i];
    let d = dy[i];
    let s = 1.0 / (1.0 + exp_of(-g));
    let a = g * s;
    y[i] = a * u;
    up[i] = d * a;
    gate[i] = d * u * (s + a * (1.0 - s));
  }
}
