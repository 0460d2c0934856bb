// Both factors are staged as they are.
alias LineA = vec4f;
alias LineB = vec4f;

fn kept_a(line: vec4f) -> LineA { return line; }
fn kept_b(line: vec4f) -> LineB { return line; }
