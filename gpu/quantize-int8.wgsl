// What a workgroup owns: gpu/lib/blocks.wgsl; the arithmetic: gpu/lib/levels.wgsl.
struct Params { n: u32, blocksize: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // f32[n], as bits
@group(0) @binding(2) var<storage, read_write> q: array<u32>; // i8[n], four a word
@group(0) @binding(3) var<storage, read_write> absmax: array<u32>; // f32[ceil(n / blocksize)], as bits

const MOST = 127;
const LEVELS = 0x42fe0000u; // 127

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = workgroup_of(id, count) * OWNED;
  if (first >= params.n) { return; }
  find_factors(first, lane);
  for (var i = first + 4u * lane; i < first + min(OWNED, params.n - first); i += 1024u) {
    var word = 0u;
    for (var j = 0u; j < 4u; j++) { word |= (u32(level_at(i + j, first)) & 255u) << (8u * j); }
    let mask = mask_of(params.n - i);
    q[i / 4u] = (word & mask) | (q[i / 4u] & ~mask);
  }
}
