// One word, of which the host gives the bits under `mask`. One invocation.
struct Params { index: u32, mask: u32, bits: u32 }
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> words: array<u32>;

@compute @workgroup_size(1)
fn main() {
  words[params.index] = (words[params.index] & ~params.mask) | params.bits;
}
