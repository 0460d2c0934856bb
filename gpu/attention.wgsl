// A workgroup of 64 owns 8 queries of one head and takes 64 keys at a time: an invocation owns a key while weights are
// made, every 64th dimension of y while they are used, and, as one of the first 8, the running maximum and sum of a query.
// y collects in memory, scaled whenever the maximum grows. Blocks of keys begin at multiples of 64, so a query's bits do
// not depend on which queries are computed with it.
struct Params { batch: u32, queryLength: u32, keyLength: u32, heads: u32, kvHeads: u32, headDim: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>; // f32[batch, queryLength, heads, headDim]
@group(0) @binding(2) var<storage, read> k: array<f32>; // f32[batch, keyLength, kvHeads, headDim]
@group(0) @binding(3) var<storage, read> v: array<f32>; // f32[batch, keyLength, kvHeads, headDim]
@group(0) @binding(4) var<storage, read_write> y: array<f32>; // f32[batch, queryLength, heads, headDim]
@group(0) @binding(5) var<storage, read_write> lse: array<f32>; // f32[batch, heads, queryLength]

const HIDDEN = -3.0e38; // the score of a key that a query does not see

var<workgroup> weights: array<vec4f, 128>; // f32[64 keys, 8 queries]
var<workgroup> tops: array<f32, 8>; // the largest score so far
var<workgroup> factors: array<f32, 8>; // what y is multiplied by

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let blocks = (params.queryLength + 7u) / 8u;
  let at = workgroup_of(id, count);
  let first = at % blocks * 8u;
  let head = at / blocks % params.heads;
  let batch = at / blocks / params.heads;
  if (batch >= params.batch) { return; }
  let kv_width = params.kvHeads * params.headDim;
  let keys = batch * params.keyLength * kv_width + head / (params.heads / params.kvHeads) * params.headDim;
  let seen = params.keyLength - params.queryLength + 1u; // by query 0
  let end = min(first + 8u, params.queryLength) - 1u + seen; // of the keys that any of the queries sees
  var top = HIDDEN;
  var sum = 0.0;
  for (var begin = 0u; begin < end; begin += 64u) {
    let key = begin + lane;
    let scores = scores_of(batch, head, first, keys + min(key, params.keyLength - 1u) * kv_width);
    weights[2u * lane] = select(vec4f(HIDDEN), scores[0], vec4u(key) < vec4u(first) + vec4u(0, 1, 2, 3) + seen);
    weights[2u * lane + 1u] = select(vec4f(HIDDEN), scores[1], vec4u(key) < vec4u(first) + vec4u(4, 5, 6, 7) + seen);
    workgroupBarrier();
    if (lane < 8u) {
      let before = top;
      for (var j = 0u; j < 64u; j++) { top = max(top, weights[2u * j + lane / 4u][lane % 4u]); }
      tops[lane] = top;
      factors[lane] = exp_of(before - top);
    }
    workgroupBarrier();
    for (var i = 0u; i < 8u; i += 4u) {
      let w = weights[2u * lane + i / 4u] - vec4f(tops[i], tops[i + 1u], tops[i + 2u], tops[i + 3u]);
      weights[2u * lane + i / 4u] = vec4f(exp_of(w.x), exp_of(w.y), exp_of(w.z), exp_of(w.w));
    }
    workgroupBarrier();
    if (lane < 8u) {
      var total = 0.0;
      for (var j = 0u; j < 64u; j++) { total += weights[2u * j + lane / 4u][lane % 4u]; }
      sum = fma(sum, factors[lane], total);
    }
    add_values(batch, head, first, keys + begin * kv_width, min(64u, end - begin), begin == 0u, lane);
    workgroupBarrier();
  }
  if (lane < 8u) {
    factors[lane] = sum;
    if (first + lane < params.queryLength) { lse[(batch * params.heads + head) * params.queryLength + first + lane] = top + log_of(sum); }
  }
  workgroupBarrier();
  for (var i = 0u; i < min(8u, params.queryLength - first); i++) {
    let to = query_at(batch, head, first + i);
    for (var d = lane; d < params.headDim; d += 64u) { y[to + d] = y[to + d] / factors[i]; }
  }
}

fn query_at(batch: u32, head: u32, i: u32) -> u32 {
  return ((batch * params.queryLength + min(i, params.queryLength - 1u)) * params.heads + head) * params.headDim;
}

// scale · q · k of eight queries and one key.
fn scores_of(batch: u32, head: u32, first: u32, key: u32) -> array<vec4f, 2> {
  let width = params.heads * params.headDim;
  let begin = query_at(batch, head, first);
  let last = query_at(batch, head, params.queryLength - 1u);
  let a = min(vec4u(begin) + vec4u(0, 1, 2, 3) * width, vec4u(last));
  let b = min(vec4u(begin) + vec4u(4, 5, 6, 7) * width, vec4u(last));
  var low = vec4f();
  var high = vec4f();
  for (var d = 0u; d < params.headDim; d++) {
    let value = vec4f(k[key + d]);
    low = fma(vec4f(q[a.x + d], q[a.y + d], q[a.z + d], q[a.w + d]), value, low);
    high = fma(vec4f(q[b.x + d], q[b.y + d], q[b.z + d], q[b.w + d]), value, high);
  }
  return array(low * params.scale, high * params.scale);
}

// y = y · factor + weights · v for eight queries and up to 64 keys.
fn add_values(batch: u32, head: u32, first: u32, values: u32, keys: u32, fresh: bool, lane: u32) {
  let kv_width = params.kvHeads * params.headDim;
  for (var d = lane; d < params.headDim; d += 64u) {
    var low = vec4f();
    var high = vec4f();
    for (var j = 0u; j < keys; j++) {
      let value = vec4f(v[values + j * kv_width + d]);
      low = fma(weights[2u * j], value, low);
      high = fma(weights[2u * j + 1u], value, high);
    }
    for (var i = 0u; i < min(8u, params.queryLength - first); i++) {
      let to = query_at(batch, head, first + i) + d;
      let value = select(high[i % 4u], low[i % 4u], i < 4u);
      if (fresh) { y[to] = value; } else { y[to] = fma(y[to], factors[i], value); }
    }
  }
}
