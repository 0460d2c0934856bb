// One workgroup; an invocation owns every 256th partial sum.
struct Params { count: u32, maxNorm: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> partials: array<f32>; // f32[count]
@group(0) @binding(2) var<storage, read_write> clip: array<f32>; // f32[2]

@compute @workgroup_size(256)
fn main(@builtin(local_invocation_index) lane: u32) {
  var sum = 0.0;
  for (var i = lane; i < params.count; i += 256u) { sum += partials[i]; }
  let norm = sqrt(sum_of_workgroup(sum, lane));
  if (lane != 0u) { return; }
  clip[0] = norm;
  clip[1] = select(1.0, min(1.0, params.maxNorm / (norm + 1e-6)), params.maxNorm > 0.0);
}
