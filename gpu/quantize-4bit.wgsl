// What a workgroup owns: gpu/lib/blocks.wgsl. All arithmetic is on bits, so codes are the same on every GPU.
struct Params { n: u32, blocksize: u32, inputType: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<u32>; // f32[n], or f16[n] or bf16[n], two a word
@group(0) @binding(2) var<storage, read> thresholds: array<u32>; // f32[15], as bits
@group(0) @binding(3) var<storage, read> codes: array<u32>; // u8[16], four a word
@group(0) @binding(4) var<storage, read_write> packed: array<u32>; // u8[ceil(n / 2)], eight elements a word
@group(0) @binding(5) var<storage, read_write> absmax: array<u32>; // f32[ceil(n / blocksize)], as bits

const LEAST = 0x006ce3eeu; // 1e-38: divisors are no smaller
const ONE = 0x3f800000u;

var<workgroup> places: array<i32, 16>; // of the thresholds on the line of f32 values
var<workgroup> factors: array<u32, 128>; // by block: 1 / absmax, f32 as bits

// Bits as integers in the order of their values; both zeros are 0.
fn place_of(bits: u32) -> i32 {
  let size = i32(magnitude(bits));
  return select(size, -size, bits >= SIGN);
}

// Scaled values are clamped to [−1, 1]: none is above a threshold of 1, all are above one below −1.
fn place_of_threshold(bits: u32) -> i32 {
  let place = place_of(bits);
  if (place >= i32(ONE)) { return 0x7fffffff; }
  return select(place, -0x7fffffff, place < -i32(ONE));
}

fn value_at(i: u32) -> u32 {
  if (params.inputType == 0u) { return x[i]; }
  let half = (x[i / 2u] >> (16u * (i % 2u))) & 0xffffu;
  if (params.inputType == 1u) { return f16_to_f32(half); }
  return half << 16u;
}

fn size_at(i: u32) -> u32 { return magnitude(value_at(i)); }

// The number of thresholds below a scaled value; NaN comes last.
fn rank_of(bits: u32) -> u32 {
  if (magnitude(bits) > INFINITE) { return 15u; }
  let place = place_of(bits);
  var rank = 0u;
  for (var step = 8u; step > 0u; step /= 2u) {
    if (place > places[rank + step - 1u]) { rank += step; }
  }
  return rank;
}

// An odd n is filled up with a scaled value of 0.
fn code_at(i: u32, first: u32) -> u32 {
  var value = 0u;
  if (i < params.n) {
    let block = (i - first) / params.blocksize;
    let whole = i / params.blocksize < params.n / params.blocksize;
    if (whole) { value = f32_product(value_at(i), factors[block]); }
    else { value = f32_quotient(value_at(i), max(atomicLoad(&largest[block]), LEAST)); }
  }
  let rank = rank_of(value);
  return (codes[rank / 4u] >> (8u * (rank % 4u))) & 15u;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = workgroup_of(id, count) * OWNED;
  if (first >= params.n) { return; }
  if (lane < 16u) { places[lane] = place_of_threshold(thresholds[min(lane, 14u)]); }
  find_largest(first, lane);
  let block = first / params.blocksize + lane;
  if (lane < OWNED / params.blocksize && block * params.blocksize < params.n) {
    let most = atomicLoad(&largest[lane]);
    let whole = block < params.n / params.blocksize;
    absmax[block] = select(max(most, select(LEAST, 0u, whole)), NOT_A_NUMBER, most > INFINITE);
    factors[lane] = f32_quotient(ONE, max(most, LEAST));
  }
  workgroupBarrier();
  for (var i = first + 8u * lane; i < first + min(OWNED, params.n - first); i += 2048u) {
    var word = 0u;
    for (var j = 0u; j < 8u; j++) { word |= code_at(i + j, first) << (4u * (j ^ 1u)); }
    let mask = mask_of((params.n - i + 1u) / 2u);
    packed[i / 8u] = (word & mask) | (packed[i / 8u] & ~mask);
  }
}
