// deltas: an invocation owns one query of one head. query_gradients: a workgroup of 64 owns dq of 8 queries of one head
// and takes 64 keys at a time. key_gradients: it owns dk and dv of 8 keys of one key head and takes 64 queries at a time,
// head after head. While weights are made an invocation owns one of the 64, then every 64th dimension of the result,
// which collects in memory.
struct Params { batch: u32, queryLength: u32, keyLength: u32, heads: u32, kvHeads: u32, headDim: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> q: array<f32>; // f32[batch, length, heads, headDim]
@group(0) @binding(2) var<storage, read> k: array<f32>; // f32[batch, length, kvHeads, headDim]
@group(0) @binding(3) var<storage, read> v: array<f32>; // f32[batch, length, kvHeads, headDim]
@group(0) @binding(4) var<storage, read> y: array<f32>; // f32[batch, length, heads, headDim]
@group(0) @binding(5) var<storage, read> dy: array<f32>; // f32[batch, length, heads, headDim]
@group(0) @binding(6) var<storage, read> lse: array<f32>; // f32[batch, heads, length]
@group(0) @binding(7) var<storage, read_write> dq: array<f32>; // f32[batch, length, heads, headDim]
@group(0) @binding(8) var<storage, read_write> dk: array<f32>; // f32[batch, length, kvHeads, headDim]
@group(0) @binding(9) var<storage, read_write> dv: array<f32>; // f32[batch, length, kvHeads, headDim]
@group(0) @binding(10) var<storage, read_write> delta: array<f32>; // f32[batch, heads, length]: rowsum(dy ∘ y)

var<workgroup> p_tile: array<vec4f, 128>; // f32[64, 8]: e^(score − lse)
var<workgroup> ds_tile: array<vec4f, 128>; // f32[64, 8]: its gradient, times scale

@compute @workgroup_size(64)
fn deltas(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let at = workgroup_of(id, count) * 64u + lane;
  if (at >= params.batch * params.heads * params.queryLength) { return; }
  let i = at % params.queryLength;
  let head = at / params.queryLength % params.heads;
  let start = query_at(at / params.queryLength / params.heads, head, i);
  var sum = 0.0;
  for (var d = 0u; d < params.headDim; d++) { sum = fma(dy[start + d], y[start + d], sum); }
  delta[at] = sum;
}

fn query_at(batch: u32, head: u32, i: u32) -> u32 {
  return ((batch * params.queryLength + i) * params.heads + head) * params.headDim;
}

fn key_at(batch: u32, head: u32, j: u32) -> u32 {
  return ((batch * params.keyLength + j) * params.kvHeads + head) * params.headDim;
}

// p and ds of a pair, from q · k and dy · v; 0 for a key that the query does not see.
fn pair(score: f32, dp: f32, row: u32, visible: bool) -> vec2f {
  let p = select(0.0, exp_of(score * params.scale - lse[row]), visible);
  return vec2f(p, params.scale * p * (dp - delta[row]));
}

@compute @workgroup_size(64)
fn query_gradients(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let blocks = (params.queryLength + 7u) / 8u;
  let at = workgroup_of(id, count);
  let first = at % blocks * 8u;
  let head = at / blocks % params.heads;
  let batch = at / blocks / params.heads;
  if (batch >= params.batch) { return; }
  let kv_head = head / (params.heads / params.kvHeads);
  let queries = min(8u, params.queryLength - first);
  let end = first + queries;
  for (var begin = 0u; begin < end; begin += 64u) {
    let key = begin + lane;
    let key_start = key_at(batch, kv_head, min(key, params.keyLength - 1u));
    for (var i = 0u; i < 8u; i++) {
      let query = first + min(i, queries - 1u);
      let start = query_at(batch, head, query);
      var score = 0.0;
      var dp = 0.0;
      for (var d = 0u; d < params.headDim; d++) {
        score = fma(q[start + d], k[key_start + d], score);
        dp = fma(dy[start + d], v[key_start + d], dp);
      }
      ds_tile[2u * lane + i / 4u][i % 4u] = pair(score, dp, (batch * params.heads + head) * params.queryLength + query, key <= query).y;
    }
    workgroupBarrier();
    for (var d = lane; d < params.headDim; d += 64u) {
      var low = vec4f();
      var high = vec4f();
      for (var j = 0u; j < min(64u, end - begin); j++) {
        let value = vec4f(k[key_at(batch, kv_head, begin + j) + d]);
        low = fma(ds_tile[2u * j], value, low);
        high = fma(ds_tile[2u * j + 1u], value, high);
      }
      for (var i = 0u; i < queries; i++) {
        let to = query_at(batch, head, first + i) + d;
        let value = select(high[i % 4u], low[i % 4u], i < 4u);
        if (begin == 0u) { dq[to] = value; } else { dq[to] += value; }
      }
    }
    workgroupBarrier();
  }
}

@compute @workgroup_size(64)
fn key_gradients(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let blocks = (params.keyLength + 7u) / 8u;
  let at = workgroup_of(id, count);
  let first = at % blocks * 8u;
  let kv_head = at / blocks % params.kvHeads;
  let batch = at / blocks / params.kvHeads;
  if (batch >= params.batch) { return; }
  let group = params.heads / params.kvHeads;
  let keys = min(8u, params.keyLength - first);
  for (var head = kv_head * group; head < (kv_head + 1u) * group; head++) {
    for (var begin = first / 64u * 64u; begin < params.queryLength; begin += 64u) {
      let query = min(begin + lane, params.queryLength - 1u);
      let start = query_at(batch, head, query);
      for (var j = 0u; j < 8u; j++) {
        let key = first + min(j, keys - 1u);
        let key_start = key_at(batch, kv_head, key);
        var score = 0.0;
        var dp = 0.0;
        for (var d = 0u; d < params.headDim; d++) {
          score = fma(q[start + d], k[key_start + d], score);
          dp = fma(dy[start + d], v[key_start + d], dp);
        }
        let both = pair(score, dp, (batch * params.heads + head) * params.queryLength + query, key <= query);
        p_tile[2u * lane + j / 4u][j % 4u] = both.x;
        ds_tile[2u * lane + j / 4u][j % 4u] = both.y;
      }
      workgroupBarrier();
      let fresh = head == kv_head * group && begin == first / 64u * 64u;
      add_to_keys(batch, kv_head, head, first, keys, begin, fresh, lane);
      workgroupBarrier();
    }
  }
}

// dk += dsᵀ · q and dv += pᵀ · dy for eight keys and up to 64 queries.
fn add_to_keys(batch: u32, kv_head: u32, head: u32, first: u32, keys: u32, begin: u32, fresh: bool, lane: u32) {
  for (var d = lane; d < params.headDim; d += 64u) {
    var k_low = vec4f();
    var k_high = vec4f();
    var v_low = vec4f();
    var v_high = vec4f();
    for (var i = 0u; i < min(64u, params.queryLength - begin); i++) {
      let start = query_at(batch, head, begin + i) + d;
      k_low = fma(ds_tile[2u * i], vec4f(q[start]), k_low);
      k_high = fma(ds_tile[2u * i + 1u], vec4f(q[start]), k_high);
      v_low = fma(p_tile[2u * i], vec4f(dy[start]), v_low);
      v_high = fma(p_tile[2u * i + 1u], vec4f(dy[start]), v_high);
    }
    for (var j = 0u; j < keys; j++) {
      let to = key_at(batch, kv_head, first + j) + d;
      let k_value = select(k_high[j % 4u], k_low[j % 4u], j < 4u);
      let v_value = select(v_high[j % 4u], v_low[j % 4u], j < 4u);
      if (fresh) { dk[to] = k_value; dv[to] = v_value; } else { dk[to] += k_value; dv[to] += v_value; }
    }
  }
}
