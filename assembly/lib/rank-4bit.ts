// How many of 15 ascending thresholds lie strictly below a scaled value: its place in the sorted code table.
import { interleaveHigh16, interleaveHigh8, interleaveLow16, interleaveLow8 } from "./bytes";

const THRESHOLDS: usize = 0; // f32[16], the last one infinite
const BASE: usize = 64; // u8[32]: thresholds below the bucket
const PLANES: usize = 96; // u8[4][32]: byte j of the bucket's own threshold
const BUCKETS: i32 = 32;

// Added to a value of [-1, 1], this leaves the nearest sixteenth in the last bits; monotone, and one instruction.
const MAGIC: f32 = 786432; // 1.5 · 2^19
const MAGIC_BITS: i32 = 0x49400000;

// @ts-ignore: decorator
@inline
function bucketOf(s: f32): i32 {
  return min(reinterpret<i32>(s + MAGIC) - MAGIC_BITS, BUCKETS / 2 - 1) + BUCKETS / 2;
}

/**
 * Fills `tables`; true when no bucket holds two thresholds, so that one comparison decides.
 * Values reach the ranks unclamped, up to an ulp beyond ±1, hence the infinities: 1 is not above a threshold of 1 or more.
 */
export function prepareRanks(thresholds: usize, tables: usize): bool {
  for (let k: usize = 0; k < 16; k++) {
    const t = k < 15 ? load<f32>(thresholds + (k << 2)) : <f32>Infinity;
    store<f32>(tables + (k << 2), t >= 1 ? <f32>Infinity : t < -1 ? <f32>-Infinity : t, THRESHOLDS);
  }
  let single = true;
  let k: usize = 0;
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const base = k;
    let own: f32 = Infinity;
    for (; k < 15; k++) {
      const t = load<f32>(tables + (k << 2), THRESHOLDS);
      if (t == <f32>Infinity || bucketOf(max<f32>(t, -1)) != bucket) break;
      own = t;
    }
    if (k > base + 1) single = false;
    store<u8>(tables + <usize>bucket, <u8>base, BASE);
    for (let j: usize = 0; j < 4; j++) store<u8>(tables + (j << 5) + <usize>bucket, <u8>(reinterpret<u32>(own) >> (<u32>j << 3)), PLANES);
  }
  return single;
}

/** One scaled value; NaN comes last, as torch sorts it. */
export function rankOne(s: f32, tables: usize): i32 {
  if (s != s) return 15;
  let rank = 0;
  for (let k: usize = 0; k < 15; k++) rank += <i32>(s > load<f32>(tables + (k << 2), THRESHOLDS));
  return rank;
}

/** 16 masks of 32 bits as 16 of 8. */
// @ts-ignore: decorator
@inline
function narrowMasks(a: v128, b: v128, c: v128, d: v128): v128 {
  return i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d));
}

/** 16 values of `from` times `factor` → 16 ranks, one a byte; any thresholds. */
// @ts-ignore: decorator
@inline
export function rank16ByLadder(from: usize, factor: v128, tables: usize): v128 {
  const s0 = f32x4.mul(v128.load(from), factor), s1 = f32x4.mul(v128.load(from, 16), factor);
  const s2 = f32x4.mul(v128.load(from, 32), factor), s3 = f32x4.mul(v128.load(from, 48), factor);
  let r0 = i32x4.splat(0), r1 = r0, r2 = r0, r3 = r0;
  for (let k: usize = 0; k < 60; k += 4) {
    const t = v128.load32_splat(tables + k, THRESHOLDS);
    r0 = i32x4.sub(r0, f32x4.gt(s0, t));
    r1 = i32x4.sub(r1, f32x4.gt(s1, t));
    r2 = i32x4.sub(r2, f32x4.gt(s2, t));
    r3 = i32x4.sub(r3, f32x4.gt(s3, t));
  }
  return narrowMasks(r0, r1, r2, r3);
}

// @ts-ignore: decorator
@inline
function sixteenths(s: v128): v128 {
  return i32x4.sub(f32x4.add(s, f32x4.splat(MAGIC)), i32x4.splat(MAGIC_BITS));
}

/** 32-entry lookup: a swizzle gives 0 outside its 16 entries. `high` counts from the middle of the table, `low` from its start. */
// @ts-ignore: decorator
@inline
function lookup(table: usize, low: v128, high: v128): v128 {
  return v128.or(i8x16.swizzle(v128.load(table), low), i8x16.swizzle(v128.load(table, 16), high));
}

/** The same ranks where each bucket holds one threshold at most: 1 exact comparison instead of 15. */
// @ts-ignore: decorator
@inline
export function rank16ByBucket(from: usize, factor: v128, tables: usize): v128 {
  const s0 = f32x4.mul(v128.load(from), factor), s1 = f32x4.mul(v128.load(from, 16), factor);
  const s2 = f32x4.mul(v128.load(from, 32), factor), s3 = f32x4.mul(v128.load(from, 48), factor);
  const high = i8x16.min_s(narrowMasks(sixteenths(s0), sixteenths(s1), sixteenths(s2), sixteenths(s3)), i8x16.splat(<i8>(BUCKETS / 2 - 1)));
  const low = i8x16.add(high, i8x16.splat(<i8>(BUCKETS / 2)));
  const b0 = lookup(tables + PLANES, low, high), b1 = lookup(tables + PLANES + 32, low, high);
  const b2 = lookup(tables + PLANES + 64, low, high), b3 = lookup(tables + PLANES + 96, low, high);
  const low01 = interleaveLow8(b0, b1), low23 = interleaveLow8(b2, b3);
  const high01 = interleaveHigh8(b0, b1), high23 = interleaveHigh8(b2, b3);
  const above = narrowMasks(
    f32x4.gt(s0, interleaveLow16(low01, low23)), f32x4.gt(s1, interleaveHigh16(low01, low23)),
    f32x4.gt(s2, interleaveLow16(high01, high23)), f32x4.gt(s3, interleaveHigh16(high01, high23)));
  return i8x16.sub(lookup(tables + BASE, low, high), above);
}
