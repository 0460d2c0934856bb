// An invocation owns pairs (i, i + headDim / 2) of one head of one row: first of q's heads, then of k's.
struct Params { rows: u32, heads: u32, kvHeads: u32, headDim: u32, maxPositions: u32, sign: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> positions: array<i32>; // i32[rows]
@group(0) @binding(2) var<storage, read> cos: array<f32>; // f32[maxPositions, headDim / 2]
@group(0) @binding(3) var<storage, read> sin: array<f32>; // f32[maxPositions, headDim / 2]
@group(0) @binding(4) var<storage, read_write> q: array<f32>; // f32[rows, heads, headDim]
@group(0) @binding(5) var<storage, read_write> k: array<f32>; // f32[rows, kvHeads, headDim]

// x[i], x[i + half] turned by the angle at `angle` of the tables.
fn turned(x: vec2f, angle: u32) -> vec2f {
  let c = cos[angle];
  let s = sin[angle] * params.sign;
  return vec2f(x.x * c - x.y * s, x.y * c + x.x * s);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let half = params.headDim / 2u;
  let heads = params.heads + params.kvHeads;
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var pair = begin; pair < min(begin + ELEMENTS, params.rows * heads * half); pair += 256u) {
    let i = pair % half;
    let row = pair / half / heads;
    let head = pair / half % heads;
    let angle = u32(positions[row]) * half + i;
    if (head < params.heads) {
      let low = (row * params.heads + head) * params.headDim + i;
      let y = turned(vec2f(q[low], q[low + half]), angle);
      q[low] = y.x;
      q[low + half] = y.y;
    } else {
      let low = (row * params.kvHeads + head - params.heads) * params.headDim + i;
      let y = turned(vec2f(k[low], k[low + half]), angle);
      k[low] = y.x;
      k[low + half] = y.y;
    }
  }
}
