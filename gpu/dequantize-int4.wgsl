// An invocation owns elements; the arithmetic is on bits, so that the values are the same on every GPU.
struct Params { n: u32, blocksize: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> packed: array<u32>; // u8[ceil(n / 2)], eight elements a word
@group(0) @binding(2) var<storage, read> absmax: array<u32>; // f32[ceil(n / blocksize)], as bits
@group(0) @binding(3) var<storage, read_write> y: array<u32>; // f32[n], as bits

const LEVELS = 0x40e00000u; // 7

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var i = begin; i < min(begin + ELEMENTS, params.n); i += 256u) {
    let level = extractBits(i32(packed[i / 8u]), 4u * ((i % 8u) ^ 1u), 4u);
    let step = f32_quotient(absmax[i / params.blocksize], LEVELS);
    y[i] = f32_product(bitcast<u32>(f32(level)), step);
  }
}
