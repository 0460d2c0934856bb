// A workgroup owns a row, an invocation every 256th logit of it.
struct Params { rows: u32, vocab: u32, backward: u32, scale: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> targets: array<i32>; // i32[rows]
@group(0) @binding(2) var<storage, read_write> logits: array<f32>; // f32[rows, vocab], then their gradient
@group(0) @binding(3) var<storage, read_write> loss: array<f32>; // f32[rows]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = workgroup_of(id, count);
  if (row >= params.rows) { return; }
  let begin = row * params.vocab;
  let target_id = bitcast<u32>(targets[row]);
  let scored = target_id < params.vocab;
  let wanted = logits[begin + select(0u, target_id, scored)]; // read by all before any of the row is written

  var top = -3.4e38;
  for (var i = lane; i < params.vocab; i += 256u) { top = max(top, logits[begin + i]); }
  let largest = max_of_workgroup(top, lane);
  var sum = 0.0;
  for (var i = lane; i < params.vocab; i += 256u) { sum += exp_of(logits[begin + i] - largest); }
  let total = sum_of_workgroup(sum, lane);

  if (lane == 0u) { loss[row] = select(0.0, log_of(total) + (largest - wanted), scored); }
  if (params.backward == 0u) { return; }
  let factor = select(0.0, params.scale / total, scored);
  for (var i = lane; i < params.vocab; i += 256u) {
    let value = exp_of(logits[begin + i] - largest) * factor;
    logits[begin + i] = select(value, value - params.scale, scored && i == target_id);
  }
}
