import { widenBf16, widenF16 } from "./lib/half";
import { prepareRanks, rank16ByBucket, rank16ByLadder, rankOne } from "./lib/rank-4bit";

const ELEMENTS_PER_TILE = 65536;
const WIDENED: usize = 256; // scratch after the tables: f32[blocksize]
const LEAST: f32 = 1e-38; // divisors are no smaller
const INFINITE: i32 = 0x7f800000;

/** Bits of max |x|, and of a NaN if there is one: as integers NaNs are the largest. `n` is a multiple of 16. */
// @ts-ignore: decorator
@inline
function absmaxBits(from: usize, n: i32): i32 {
  const size = i32x4.splat(0x7fffffff);
  let a = i32x4.splat(0), b = a, c = a, d = a;
  const end = from + (<usize>n << 2);
  for (; from < end; from += 64) {
    a = i32x4.max_s(a, v128.and(v128.load(from), size));
    b = i32x4.max_s(b, v128.and(v128.load(from, 16), size));
    c = i32x4.max_s(c, v128.and(v128.load(from, 32), size));
    d = i32x4.max_s(d, v128.and(v128.load(from, 48), size));
  }
  a = i32x4.max_s(i32x4.max_s(a, b), i32x4.max_s(c, d));
  return max(max(i32x4.extract_lane(a, 0), i32x4.extract_lane(a, 1)), max(i32x4.extract_lane(a, 2), i32x4.extract_lane(a, 3)));
}

/** Codes of 32 values, one a byte → 16 bytes, the even ones in the high nibbles. */
// @ts-ignore: decorator
@inline
function pack32(a: v128, b: v128): v128 {
  const byte = i16x8.splat(255);
  const first = v128.and(v128.or(i16x8.shl(a, 4), i16x8.shr_u(a, 8)), byte);
  const second = v128.and(v128.or(i16x8.shl(b, 4), i16x8.shr_u(b, 8)), byte);
  return i8x16.narrow_i16x8_u(first, second);
}

/** A block of finite values, n a multiple of 32. */
// @ts-ignore: decorator
@inline
function quantizeWhole(from: usize, to: usize, n: i32, factor: v128, codes: v128, tables: usize, single: bool): void {
  const end = from + (<usize>n << 2);
  if (single) {
    for (; from < end; from += 128, to += 16) {
      v128.store(to, pack32(i8x16.swizzle(codes, rank16ByBucket(from, factor, tables)), i8x16.swizzle(codes, rank16ByBucket(from + 64, factor, tables))));
    }
  } else {
    for (; from < end; from += 128, to += 16) {
      v128.store(to, pack32(i8x16.swizzle(codes, rank16ByLadder(from, factor, tables)), i8x16.swizzle(codes, rank16ByLadder(from + 64, factor, tables))));
    }
  }
}

/** Blocks with infinities or NaN, and the last one when it is short: it divides, where whole blocks multiply. */
function quantizeOneByOne(from: usize, to: usize, n: i32, absmax: f32, divide: bool, codes: usize, tables: usize): void {
  const factor = <f32>1 / absmax;
  let byte: u32 = 0;
  for (let i = 0; i < n + (n & 1); i++) {
    let s: f32 = 0; // what an odd length is filled up with
    if (i < n) {
      const x = load<f32>(from + (<usize>i << 2));
      s = divide ? x / absmax : x * factor;
    }
    byte = byte << 4 | <u32>load<u8>(codes + <usize>rankOne(s, tables));
    if (i & 1) store<u8>(to + <usize>(i >> 1), <u8>byte);
  }
}

export function quantize4bit(
  x: usize, // f32[n], f16[n] or bf16[n]
  thresholds: usize, // f32[15]
  codes: usize, // u8[16]
  packed: usize, // u8[ceil(n / 2)]
  absmax: usize, // f32[ceil(n / blocksize)]
  n: i32, blocksize: i32, inputType: i32,
  begin: i32, end: i32, scratch: usize,
): void {
  const single = prepareRanks(thresholds, scratch);
  const table = v128.load(codes);
  const last = min(end * ELEMENTS_PER_TILE, n);
  for (let start = begin * ELEMENTS_PER_TILE; start < last; start += blocksize) {
    const len = min(blocksize, n - start);
    let from = x + (<usize>start << 2);
    if (inputType) {
      from = scratch + WIDENED;
      if (inputType == 1) widenF16(x + (<usize>start << 1), from, len);
      else widenBf16(x + (<usize>start << 1), from, len);
    }
    const to = packed + <usize>(start >> 1);
    const scale = absmax + (<usize>(start / blocksize) << 2);
    if (len == blocksize) {
      const bits = absmaxBits(from, len);
      const largest = reinterpret<f32>(bits > INFINITE ? 0x7fc00000 : bits);
      store<f32>(scale, largest);
      if (bits < INFINITE) quantizeWhole(from, to, len, f32x4.splat(<f32>1 / max<f32>(largest, LEAST)), table, scratch, single);
      else quantizeOneByOne(from, to, len, largest, false, codes, scratch);
    } else {
      let bits = 0;
      for (let i = 0; i < len; i++) bits = max(bits, load<i32>(from + (<usize>i << 2)) & 0x7fffffff);
      const largest = max<f32>(reinterpret<f32>(bits > INFINITE ? 0x7fc00000 : bits), LEAST);
      store<f32>(scale, largest);
      quantizeOneByOne(from, to, len, largest, true, codes, scratch);
    }
  }
}
