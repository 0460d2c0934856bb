// Both factors are staged in half precision, in half the workgroup memory; sums stay f32. For activations and weights:
// what is too large for f16 becomes the largest that is not.
alias LineA = vec4<f16>;
alias LineB = vec4<f16>;
const MOST = vec4f(65504.0);

fn kept_a(line: vec4f) -> LineA { return vec4<f16>(clamp(line, -MOST, MOST)); }
fn kept_b(line: vec4f) -> LineB { return vec4<f16>(clamp(line, -MOST, MOST)); }
