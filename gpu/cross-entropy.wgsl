// A workgroup owns a slice of a row, an invocation every 256th element of it; all workgroups of a row sum its partials.
struct Params { rows: u32, n: u32, first: u32, slice: u32, vocab: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>; // i32[rows]
@group(0) @binding(2) var<storage, read> partials: array<f32>; // f32[rows, slices, 2]
@group(0) @binding(3) var<storage, read> wanted: array<f32>; // f32[rows]
@group(0) @binding(4) var<storage, read_write> logits: array<f32>; // f32[rows, n]: e^(z − largest of the slice), then the gradient
@group(0) @binding(5) var<storage, read_write> loss: array<f32>; // f32[rows]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let here = max(1u, (params.n + params.slice - 1u) / params.slice);
  let at = workgroup_of(id, count);
  let row = at / here;
  if (row >= params.rows) { return; }
  let target_id = bitcast<u32>(targets[row]);
  let scored = target_id < params.vocab;

  let slices = (params.vocab + params.slice - 1u) / params.slice;
  let parts = 2u * row * slices;
  var top = -3.4e38;
  for (var i = lane; i < slices; i += 256u) { top = max(top, partials[parts + 2u * i]); }
  let largest = max_of_workgroup(top, lane);
  var sum = 0.0;
  for (var i = lane; i < slices; i += 256u) { sum += exp_of(partials[parts + 2u * i] - largest) * partials[parts + 2u * i + 1u]; }
  let total = sum_of_workgroup(sum, lane);

  let column = at % here * params.slice; // the first one of this call
  if (lane == 0u && column == 0u) { loss[row] = select(0.0, log_of(total) + (largest - wanted[row]), scored); }
  let part = parts + 2u * min((params.first + column) / params.slice, slices - 1u);
  let factor = exp_of(partials[part] - largest) * (params.scale / total);
  for (var i = lane; i < min(params.slice, params.n - column); i += 256u) {
    let place = row * params.n + column + i;
    let value = logits[place] * factor;
    logits[place] = select(0.0, select(value, value - params.scale, params.first + column + i == target_id), scored);
  }
}
