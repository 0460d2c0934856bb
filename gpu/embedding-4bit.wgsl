struct Params { rows: u32, n: u32, k: u32, first: u32, blocksize: u32, nested: u32, nestedOffset: f32, round: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>; // i32[rows]
@group(0) @binding(2) var<storage, read> packed: array<u32>; // u8[ceil(n · k / 2)], eight elements a word
@group(0) @binding(3) var<storage, read> absmax: array<u32>; // f32[blocks] as bits, with nested u8[blocks]
@group(0) @binding(4) var<storage, read> code: array<u32>; // f32[16], as bits
@group(0) @binding(5) var<storage, read> nestedAbsmax: array<u32>; // with nested f32[ceil(blocks / 256)], as bits
@group(0) @binding(6) var<storage, read> nestedCode: array<u32>; // with nested f32[256], as bits
@group(0) @binding(7) var<storage, read_write> y: array<u32>; // f32[rows, k], as bits

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var i = begin; i < min(begin + ELEMENTS, params.rows * params.k); i += 256u) {
    let id = u32(ids[i / params.k]) - params.first; // ids below it wrap around and are too large
    if (id >= params.n) { continue; }
    let e = id * params.k + i % params.k;
    y[i] = rounded(f32_product(code[nibble_at(e)], scale_of(e / params.blocksize)), params.round);
  }
}
