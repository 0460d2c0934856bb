// An invocation owns words of y, two elements each; half a word at the end leaves the other half as it is.
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // f32[n], as bits
@group(0) @binding(2) var<storage, read_write> y: array<u32>; // bf16[n], two a word

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var word = begin; word < min(begin + ELEMENTS, (params.n + 1u) / 2u); word += 256u) {
    let low = f32_to_bf16(x[2u * word]);
    if (2u * word + 1u < params.n) { y[word] = low | (f32_to_bf16(x[2u * word + 1u]) << 16u); }
    else { y[word] = low | (y[word] & 0xffff0000u); }
  }
}
