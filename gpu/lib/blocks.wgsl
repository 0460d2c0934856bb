// Quantization by blocks: a workgroup of 256 owns 4096 elements, which are whole blocks of any blocksize.
const OWNED = 4096u;

var<workgroup> largest: array<atomic<u32>, 128>; // by block: max |x|, as bits

// Fills `largest` with what the op's size_at() gives. Of bits, the maximum of integers is that of the values, NaN above all.
fn find_largest(first: u32, lane: u32) {
  if (lane < 128u) { atomicStore(&largest[lane], 0u); }
  workgroupBarrier();
  let end = first + min(OWNED, params.n - first);
  for (var i = first + 8u * lane; i < end; i += 2048u) { // eight in a row share a block
    var most = 0u;
    for (var j = i; j < min(i + 8u, end); j++) { most = max(most, size_at(j)); }
    atomicMax(&largest[(i - first) / params.blocksize], most);
  }
  workgroupBarrier();
}

// The bits of `bytes` bytes, at most 4: what a last word holds beyond them belongs to others.
fn mask_of(bytes: u32) -> u32 {
  return select((1u << (8u * bytes)) - 1u, 0xffffffffu, bytes >= 4u);
}
