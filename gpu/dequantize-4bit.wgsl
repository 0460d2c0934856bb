// A workgroup of 256 owns 4096 elements, whole blocks: it multiplies the 16 levels of each block once, in arithmetic on
// bits, so that the values are the same on every GPU, and then looks elements up.
struct Params { n: u32, blocksize: u32, nested: u32, nestedOffset: f32, round: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> packed: array<u32>; // u8[ceil(n / 2)], eight elements a word
@group(0) @binding(2) var<storage, read> absmax: array<u32>; // f32[blocks] as bits, with nested u8[blocks]
@group(0) @binding(3) var<storage, read> code: array<u32>; // f32[16], as bits
@group(0) @binding(4) var<storage, read> nestedAbsmax: array<u32>; // with nested f32[ceil(blocks / 256)], as bits
@group(0) @binding(5) var<storage, read> nestedCode: array<u32>; // with nested f32[256], as bits
@group(0) @binding(6) var<storage, read_write> y: array<u32>; // f32[n], as bits

const OWNED = 4096u;

var<workgroup> scales: array<u32, 128>; // by block
var<workgroup> levels: array<u32, 2048>; // by block, 16 each

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = workgroup_of(id, count) * OWNED;
  if (first >= params.n) { return; }
  let owned = min(OWNED, params.n - first);
  let blocks = (owned + params.blocksize - 1u) / params.blocksize;
  if (lane < blocks) { scales[lane] = scale_of(first / params.blocksize + lane); }
  workgroupBarrier();
  for (var i = lane; i < 16u * blocks; i += 256u) {
    levels[i] = rounded(f32_product(code[i % 16u], scales[i / 16u]), params.round);
  }
  workgroupBarrier();
  for (var i = lane; i < owned; i += 256u) {
    y[first + i] = levels[16u * (i / params.blocksize) + nibble_at(first + i)];
  }
}
