// A number of workgroups over the limit of one dimension arrives folded into two; some at the end may be too many.
fn workgroup_of(id: vec3u, count: vec3u) -> u32 {
  return id.y * count.x + id.x;
}

// Elementwise kernels: a workgroup of 256 owns 1024 elements, an invocation every 256th of them.
const ELEMENTS = 1024u;
