// What a workgroup owns: gpu/lib/blocks.wgsl. All arithmetic is on bits, so bytes are the same on every GPU.
struct Params { n: u32, blocksize: u32, offset: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // f32[n], as bits
@group(0) @binding(2) var<storage, read> lut: array<u32>; // u8[65536], four a word
@group(0) @binding(3) var<storage, read_write> q: array<u32>; // u8[n], four a word
@group(0) @binding(4) var<storage, read_write> absmax: array<u32>; // f32[ceil(n / blocksize)], as bits

const HALF = 0x3f000000u;
const ONE = 0x3f800000u;
const MOST = 0x477fff00u; // 65535

var<workgroup> factors: array<u32, 128>; // by block: 1 / absmax, f32 as bits

fn difference_at(i: u32) -> u32 { return f32_sum(x[i], bitcast<u32>(params.offset) ^ SIGN); }

fn size_at(i: u32) -> u32 {
  let size = magnitude(difference_at(i));
  return select(size, 0u, size > INFINITE); // NaN does not count
}

// Place in the table of a scaled value.
fn index_of(bits: u32) -> u32 {
  if (magnitude(bits) > INFINITE) { return 0u; }
  let clamped = (bits & SIGN) | min(magnitude(bits), ONE);
  let value = f32_sum(f32_product(f32_product(f32_sum(clamped, ONE), HALF), MOST), HALF); // 0.5 to 65535.5
  return ((value & 0x7fffffu) | 0x800000u) >> (150u - (value >> 23u));
}

fn byte_at(i: u32, first: u32) -> u32 {
  let block = (i - first) / params.blocksize;
  if (i >= params.n || atomicLoad(&largest[block]) == 0u) { return 0u; }
  let index = index_of(f32_product(difference_at(i), factors[block]));
  return (lut[index / 4u] >> (8u * (index % 4u))) & 255u;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = workgroup_of(id, count) * OWNED;
  if (first >= params.n) { return; }
  find_largest(first, lane);
  let block = first / params.blocksize + lane;
  if (lane < OWNED / params.blocksize && block * params.blocksize < params.n) {
    let most = atomicLoad(&largest[lane]);
    absmax[block] = most;
    factors[lane] = f32_quotient(ONE, most);
  }
  workgroupBarrier();
  for (var i = first + 4u * lane; i < first + min(OWNED, params.n - first); i += 1024u) {
    var word = 0u;
    for (var j = 0u; j < 4u; j++) { word |= byte_at(i + j, first) << (8u * j); }
    let mask = mask_of(params.n - i);
    q[i / 4u] = (word & mask) | (q[i / 4u] & ~mask);
  }
}
