// A workgroup owns a slice of a row, an invocation every 256th logit of it.
struct Params { rows: u32, n: u32, first: u32, slice: u32, vocab: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>; // i32[rows]
@group(0) @binding(2) var<storage, read_write> logits: array<f32>; // f32[rows, n], then e^(z − largest of the slice)
@group(0) @binding(3) var<storage, read_write> partials: array<f32>; // f32[rows, slices, 2]
@group(0) @binding(4) var<storage, read_write> wanted: array<f32>; // f32[rows]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let here = (params.n + params.slice - 1u) / params.slice;
  let at = workgroup_of(id, count);
  let row = at / here;
  if (row >= params.rows) { return; }
  let target_id = bitcast<u32>(targets[row]);
  if (target_id >= params.vocab) { return; }
  let column = at % here * params.slice; // the first one of this call
  let begin = row * params.n + column;
  let width = min(params.slice, params.n - column);

  var top = -3.4e38;
  for (var i = lane; i < width; i += 256u) { top = max(top, logits[begin + i]); }
  let largest = max_of_workgroup(top, lane);
  var sum = 0.0;
  for (var i = lane; i < width; i += 256u) {
    let z = logits[begin + i];
    if (target_id == params.first + column + i) { wanted[row] = z; }
    let e = exp_of(z - largest);
    logits[begin + i] = e;
    sum += e;
  }
  let total = sum_of_workgroup(sum, lane);
  if (lane != 0u) { return; }
  let slices = (params.vocab + params.slice - 1u) / params.slice;
  let part = 2u * (row * slices + (params.first + column) / params.slice);
  partials[part] = largest;
  partials[part + 1u] = total;
}
