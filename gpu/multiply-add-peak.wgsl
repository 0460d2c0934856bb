struct Params { n: u32, rounds: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> y: array<f32>; // f32[n]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  let h = vec4f(0.5);
  for (var e = begin; e < min(begin + ELEMENTS, params.n); e += 256u) {
    var s0 = vec4f(0.0); var s1 = vec4f(0.0625); var s2 = vec4f(0.125); var s3 = vec4f(0.1875);
    var s4 = vec4f(0.25); var s5 = vec4f(0.3125); var s6 = vec4f(0.375); var s7 = vec4f(0.4375);
    var s8 = vec4f(0.5); var s9 = vec4f(0.5625); var s10 = vec4f(0.625); var s11 = vec4f(0.6875);
    for (var i = 0u; i < params.rounds; i++) {
      s0 = fma(s0, h, h); s1 = fma(s1, h, h); s2 = fma(s2, h, h); s3 = fma(s3, h, h);
      s4 = fma(s4, h, h); s5 = fma(s5, h, h); s6 = fma(s6, h, h); s7 = fma(s7, h, h);
      s8 = fma(s8, h, h); s9 = fma(s9, h, h); s10 = fma(s10, h, h); s11 = fma(s11, h, h);
    }
    y[e] = dot(s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7 + s8 + s9 + s10 + s11, vec4f(1.0));
  }
}
