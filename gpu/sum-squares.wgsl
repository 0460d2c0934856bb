// A workgroup owns one partial sum, an invocation every 256th of its 65536 elements, added up 16 at a time: in f32 the
// error of a sum grows with the number of roundings behind each other.
struct Params { n: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>; // f32[n]
@group(0) @binding(2) var<storage, read_write> partials: array<f32>; // f32[ceil(n / 65536)]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let partial = workgroup_of(id, count);
  let begin = partial * 65536u;
  if (begin >= params.n) { return; }
  let end = min(begin + 65536u, params.n);
  var total = 0.0;
  for (var run = begin + lane; run < end; run += 4096u) {
    var sum = 0.0;
    for (var i = run; i < min(run + 4096u, end); i += 256u) { sum = fma(x[i], x[i], sum); }
    total += sum;
  }
  let sum = sum_of_workgroup(total, lane);
  if (lane == 0u) { partials[partial] = sum; }
}
