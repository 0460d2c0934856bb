// As lib/tiles-f16.wgsl, but for products whose left factor is a gradient: many lie below what f16 can hold.
alias LineA = vec4f;
alias LineB = vec4<f16>;
const MOST = vec4f(65504.0);

fn kept_a(line: vec4f) -> LineA { return line; }
fn kept_b(line: vec4f) -> LineB { return vec4<f16>(clamp(line, -MOST, MOST)); }
