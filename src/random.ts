/**
 * Every random number of the engine: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy
 * as 1, 2, 3", SC 2011) of a key and a counter. No generator has state, so any element can be drawn
 * by anyone, in any order: key = (seed, FNV-1a of the stream's name), counter = (step, sequence,
 * element >> 2, 0), and element e takes word e & 3. `assembly/lib/philox.ts` is the same in Wasm.
 */
import { ShapeError } from "./errors.ts";

/** A seed joined with a stream: `init/<module>`, `dropout/<module>`, `shuffle`, `sample`. */
export type RandomKey = readonly [number, number];

const M0 = 0xd2511f53;
const M1 = 0xcd9e8d57;
const W0 = 0x9e3779b9;
const W1 = 0xbb67ae85;
const ROUNDS = 10;

/** The high word of the 64-bit product of two unsigned words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  // Each term is below 2^33 and so exact; only the carry out of the low word matters.
  const middle = aHigh * bLow + ((aLow * bLow) >>> 16);
  const carry = (middle % 0x10000) + aLow * bHigh;
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(carry / 0x10000)) >>> 0;
}

/** One block: four random u32 words from a counter of four u32 words. */
export function philox4x32(counter: readonly [number, number, number, number], key: RandomKey): [number, number, number, number] {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < ROUNDS; round++) {
    const high0 = multiplyHigh(M0, c0 >>> 0);
    const low0 = Math.imul(M0, c0);
    const high1 = multiplyHigh(M1, c2 >>> 0);
    const low1 = Math.imul(M1, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + W0) | 0;
    k1 = (k1 + W1) | 0;
  }
  return [c0 >>> 0, c1 >>> 0, c2 >>> 0, c3 >>> 0];
}

/** FNV-1a, 32 bits, of the UTF-8 bytes. */
export function fnv1a32(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}

/** @throws ShapeError unless the seed is a u32. */
export function randomKey(seed: number, stream: string): RandomKey {
  if (!Number.isInteger(seed) || seed < 0 || seed > 0xffffffff) {
    throw new ShapeError("seed", "not a 32-bit unsigned integer", { expected: "0 … 4294967295", got: seed });
  }
  return [seed, fnv1a32(stream)];
}

/** Random u32 words of elements `first … first + out.length − 1`. */
export function randomWords(out: Uint32Array, key: RandomKey, step: number, sequence: number, first = 0): void {
  for (let i = 0; i < out.length;) {
    const element = first + i;
    const words = philox4x32([step, sequence, Math.floor(element / 4), 0], key);
    for (let word = element % 4; word < 4 && i < out.length; word++) out[i++] = words[word];
  }
}

/** A word as a number of [0, 1) with 24 bits, exact in f32. */
export function uniformOf(word: number): number {
  return (word >>> 8) * 2 ** -24;
}

/** Uniform numbers of [0, 1), exact in f32, for elements `first … first + out.length − 1`. */
export function uniforms(out: Float32Array, key: RandomKey, step: number, sequence: number, first = 0): void {
  const words = new Uint32Array(out.length);
  randomWords(words, key, step, sequence, first);
  for (let i = 0; i < words.length; i++) out[i] = uniformOf(words[i]);
}

/**
 * The order of `n` rows in an epoch: Fisher–Yates from the end, stream `shuffle`, step = epoch,
 * element = the position being filled. A word is scaled to [0, i] by multiplication, not by modulo.
 */
export function permutation(n: number, seed: number, epoch: number): Uint32Array {
  const order = Uint32Array.from({ length: n }, (_, i) => i);
  const words = new Uint32Array(n);
  randomWords(words, randomKey(seed, "shuffle"), epoch, 0);
  for (let i = n - 1; i > 0; i--) {
    const j = Math.floor(words[i] * ((i + 1) / 4294967296));
    const kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
  return order;
}
