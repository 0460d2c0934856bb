// An invocation owns words of x, two elements each.
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // f16[n], two a word
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // f32[n], as bits

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var word = begin; word < min(begin + ELEMENTS, (params.n + 1u) / 2u); word += 256u) {
    y[2u * word] = f16_to_f32(x[word] & 0xffffu);
    if (2u * word + 1u < params.n) { y[2u * word + 1u] = f16_to_f32(x[word] >> 16u); }
  }
}
