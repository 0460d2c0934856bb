// f32 arithmetic on bits, in integers: to nearest, ties to even, with denormals, as IEEE 754 has it. WGSL promises neither
// a rounding mode nor denormals and lets compilers fuse, so where bytes must be the same everywhere, this computes them.
const SIGN = 0x80000000u;
const INFINITE = 0x7f800000u;
const NOT_A_NUMBER = 0x7fc00000u;

fn magnitude(x: u32) -> u32 { return x & 0x7fffffffu; }

// digits · 2^exponent
struct Scaled { digits: u32, exponent: i32 }

// A finite magnitude above 0, denormal or not, with 24 digits.
fn scaled(size: u32) -> Scaled {
  let digits = (size & 0x7fffffu) | select(0u, 0x800000u, size >= 0x800000u);
  let shift = countLeadingZeros(digits) - 8u;
  return Scaled(digits << shift, i32(max(size >> 23u, 1u)) - 150 - i32(shift));
}

// The f32 nearest to digits · 2^exponent, or with `more` to a little above it (digits ≥ 2^25 then).
fn nearest_f32(sign: u32, digits: u32, exponent: i32, more: bool) -> u32 {
  let shift = countLeadingZeros(digits);
  let full = digits << shift;
  let top = exponent + 31 - i32(shift); // 1.… · 2^top
  if (top > 127) { return sign | INFINITE; }
  let binade = max(top, -126);
  let drop = u32(8 + binade - top); // more than 8 bits for denormals
  if (drop > 32u) { return sign; }
  let kept = select(full >> (drop & 31u), 0u, drop == 32u);
  let rest = full << (32u - drop);
  let up = rest > 0x80000000u || (rest == 0x80000000u && (more || kept % 2u == 1u));
  return sign | ((u32(binade + 126) << 23u) + kept + u32(up)); // a carry goes on into the exponent, as far as infinity
}

fn f32_product(a: u32, b: u32) -> u32 {
  let sign = (a ^ b) & SIGN;
  let x = magnitude(a);
  let y = magnitude(b);
  if (x > INFINITE || y > INFINITE) { return NOT_A_NUMBER; }
  if (x == INFINITE || y == INFINITE) { return select(sign | INFINITE, NOT_A_NUMBER, x == 0u || y == 0u); }
  if (x == 0u || y == 0u) { return sign; }
  let p = scaled(x);
  let q = scaled(y);
  let left = p.digits << 8u;
  let right = q.digits << 8u;
  return nearest_f32(sign, high_product(left, right), p.exponent + q.exponent + 16, left * right != 0u);
}

fn f32_quotient(a: u32, b: u32) -> u32 {
  let sign = (a ^ b) & SIGN;
  let x = magnitude(a);
  let y = magnitude(b);
  if (x > INFINITE || y > INFINITE || (x == y && (x == 0u || x == INFINITE))) { return NOT_A_NUMBER; }
  if (x == INFINITE || y == 0u) { return sign | INFINITE; }
  if (x == 0u || y == INFINITE) { return sign; }
  let p = scaled(x);
  let q = scaled(y);
  var digits = p.digits / q.digits;
  var rest = p.digits % q.digits;
  for (var i = 0u; i < 4u; i++) {
    rest <<= 7u;
    digits = (digits << 7u) | (rest / q.digits);
    rest %= q.digits;
  }
  return nearest_f32(sign, digits, p.exponent - q.exponent - 28, rest != 0u);
}

fn f32_sum(a: u32, b: u32) -> u32 {
  if (magnitude(b) > magnitude(a)) { return sum_by_size(b, a); }
  return sum_by_size(a, b);
}

// |a| ≥ |b|
fn sum_by_size(a: u32, b: u32) -> u32 {
  let x = magnitude(a);
  let y = magnitude(b);
  if (x > INFINITE || (y == INFINITE && a != b)) { return NOT_A_NUMBER; }
  if (x == 0u) { return a & b; }
  if (x == INFINITE || y == 0u) { return a; }
  let p = scaled(x);
  let q = scaled(y);
  let far = u32(p.exponent - q.exponent);
  let kept = select((q.digits << 6u) >> (far & 31u), 0u, far > 31u);
  // What falls off the end leaves a last bit: that is enough to round right.
  let small = kept | u32(far > 31u || (kept << (far & 31u)) != q.digits << 6u);
  let total = select((p.digits << 6u) + small, (p.digits << 6u) - small, ((a ^ b) & SIGN) != 0u);
  if (total == 0u) { return 0u; }
  return nearest_f32(a & SIGN, total, p.exponent - 6, false);
}
