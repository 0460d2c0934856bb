struct Params { n: u32, learningRate: f32, oneMinusBeta1: f32, beta2: f32, oneMinusBeta2: f32, eps: f32, weightDecay: f32, correction1: f32, correction2: f32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> clip: array<f32>; // f32[2]
@group(0) @binding(2) var<storage, read> grad: array<f32>; // f32[n]
@group(0) @binding(3) var<storage, read_write> param: array<f32>; // f32[n]
@group(0) @binding(4) var<storage, read_write> expAvg: array<f32>; // f32[n]
@group(0) @binding(5) var<storage, read_write> expAvgSq: array<f32>; // f32[n]

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) id: vec3u, @builtin(num_workgroups) count: vec3u, @builtin(local_invocation_index) lane: u32) {
  let keep = 1.0 - params.learningRate * params.weightDecay;
  let step = params.learningRate / params.correction1;
  let root = sqrt(params.correction2);
  let begin = workgroup_of(id, count) * ELEMENTS + lane;
  for (var i = begin; i < min(begin + ELEMENTS, params.n); i += 256u) {
    let g = grad[i] * clip[1];
    let m = expAvg[i] + (g - expAvg[i]) * params.oneMinusBeta1;
    let v = expAvgSq[i] * params.beta2 + g * g * params.oneMinusBeta2;
    expAvg[i] = m;
    expAvgSq[i] = v;
    param[i] = param[i] * keep - step * (m / (sqrt(v) / root + params.eps));
  }
}
