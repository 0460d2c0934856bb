// What a workgroup owns: gpu/lib/blocks.wgsl; the arithmetic: gpu/lib/levels.wgsl.
struct Params { n: u32, blocksize: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // f32[n], as bits
@group(0) @binding(2) var<storage, read_write> packed: array<u32>; // u8[ceil(n / 2)], eight elements a word
@group(0) @binding(3) var<storage, read_write> absmax: array<u32>; // f32[ceil(n / blocksize)], as bits

const MOST = 7;
const LEVELS = 0x40e00000u; // 7

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = workgroup_of(id, count) * OWNED;
  if (first >= params.n) { return; }
  find_factors(first, lane);
  for (var i = first + 8u * lane; i < first + min(OWNED, params.n - first); i += 2048u) {
    var word = 0u;
    for (var j = 0u; j < 8u; j++) { word |= (u32(level_at(i + j, first)) & 15u) << (4u * (j ^ 1u)); }
    let mask = mask_of((params.n - i + 1u) / 2u);
    packed[i / 8u] = (word & mask) | (packed[i / 8u] & ~mask);
  }
}
