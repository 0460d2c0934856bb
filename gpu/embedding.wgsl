struct Params { rows: u32, vocab: u32, n: u32, first: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> ids: array<i32>; // i32[rows]
@group(0) @binding(2) var<storage, read> table: array<u32>; // f32[vocab, n], as bits
@group(0) @binding(3) var<storage, read_write> y: array<u32>; // f32[rows, n]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var i = begin; i < min(begin + ELEMENTS, params.rows * params.n); i += 256u) {
    let id = u32(ids[i / params.n]) - params.first; // ids below it wrap around and are too large
    if (id < params.vocab) { y[i] = table[id * params.n + i % params.n]; }
  }
}
