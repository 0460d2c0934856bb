// An invocation owns pairs (i, i + headDim / 2) of one head of one row.
struct Params { rows: u32, heads: u32, headDim: u32, maxPositions: u32, sign: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<i32>; // i32[rows]
@group(0) @binding(2) var<storage, read> cos: array<f32>; // f32[maxPositions, headDim / 2]
@group(0) @binding(3) var<storage, read> sin: array<f32>; // f32[maxPositions, headDim / 2]
@group(0) @binding(4) var<storage, read_write> x: array<f32>; // f32[rows, heads, headDim]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let half = params.headDim / 2u;
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var pair = begin; pair < min(begin + ELEMENTS, params.rows * params.heads * half); pair += 256u) {
    let i = pair % half;
    let head = pair / half; // of all rows
    let angle = u32(positions[head / params.heads]) * half + i;
    let c = cos[angle];
    let s = sin[angle] * params.sign;
    let low = x[head * params.headDim + i];
    let high = x[head * params.headDim + i + half];
    x[head * params.headDim + i] = low * c - high * s;
    x[head * params.headDim + i + half] = high * c + low * s;
  }
}
