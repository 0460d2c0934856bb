// Blockwise symmetric integers, shared by int8 and int4; the op gives LEVELS, an f32 as bits, and MOST, the same number.
const LEAST = 0x03aa2425u; // 1e-36: divisors are no smaller

var<workgroup> factors: array<u32, 128>; // by block: steps in a unit of x, f32 as bits

fn size_at(i: u32) -> u32 {
  let size = magnitude(x[i]);
  return select(size, 0u, size > INFINITE); // NaN does not count
}

fn find_factors(first: u32, lane: u32) {
  find_largest(first, lane);
  let block = first / params.blocksize + lane;
  if (lane < OWNED / params.blocksize && block * params.blocksize < params.n) {
    let most = atomicLoad(&largest[lane]);
    absmax[block] = most;
    factors[lane] = f32_quotient(LEVELS, max(most, LEAST));
  }
  workgroupBarrier();
}

// The nearest integer to x · factor from −MOST to MOST, ties to even; 0 for NaN, and for elements that do not exist.
fn level_at(i: u32, first: u32) -> i32 {
  if (i >= params.n) { return 0; }
  let steps = f32_product(x[i], factors[(i - first) / params.blocksize]);
  let size = magnitude(steps);
  if (size > INFINITE) { return 0; }
  let level = nearest_integer(size);
  return select(level, -level, steps >= SIGN);
}

fn nearest_integer(size: u32) -> i32 {
  if (size >= LEVELS) { return MOST; }
  if (size <= 0x3f000000u) { return 0; } // up to 0.5
  let drop = 150u - (size >> 23u); // bits after the point, 17 to 24
  let digits = (size & 0x7fffffu) | 0x800000u;
  let kept = digits >> drop;
  let rest = digits & ((1u << drop) - 1u);
  let half = 1u << (drop - 1u);
  return i32(kept + u32(rest > half || (rest == half && kept % 2u == 1u)));
}
