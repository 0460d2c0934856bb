// An invocation owns elements; the arithmetic is on bits, so that the values are the same on every GPU.
struct Params { n: u32, blocksize: u32, offset: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<u32>; // u8[n], four a word
@group(0) @binding(2) var<storage, read> absmax: array<u32>; // f32[ceil(n / blocksize)], as bits
@group(0) @binding(3) var<storage, read> code: array<u32>; // f32[256], as bits
@group(0) @binding(4) var<storage, read_write> y: array<u32>; // f32[n], as bits

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var i = begin; i < min(begin + ELEMENTS, params.n); i += 256u) {
    let byte = (q[i / 4u] >> (8u * (i % 4u))) & 255u;
    y[i] = f32_sum(f32_product(code[byte], absmax[i / params.blocksize]), bitcast<u32>(params.offset));
  }
}
