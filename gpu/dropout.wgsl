// An invocation owns elements that share one counter: up to four in a row of the sequence's elements.
struct Params { rows: u32, n: u32, probability: f32, key0: u32, key1: u32, step: u32, sequence: u32, rowsPerSequence: u32, accumulate: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // f32[rows, n]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // f32[rows, n]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let size = params.rowsPerSequence * params.n; // elements of a sequence
  let groups = (size + 3u) / 4u;
  let at = workgroup_of(id, count) * 256u + lane;
  let sequence = at / groups;
  let group = at % groups;
  let scale = 1.0 / (1.0 - params.probability);
  let words = philox(vec4u(params.step, params.sequence + sequence, group, 0u), vec2u(params.key0, params.key1));
  for (var word = 0u; word < 4u; word++) {
    let element = group * 4u + word;
    let i = sequence * size + element;
    if (element >= size || i >= params.rows * params.n) { return; }
    let kept = f32(words[word] >> 8u) * 5.9604644775390625e-8 >= params.probability;
    let value = select(0.0, x[i] * scale, kept);
    if (params.accumulate != 0u) { y[i] += value; } else { y[i] = value; }
  }
}
