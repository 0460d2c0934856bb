import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../src/errors.ts";
import { fnv1a32, permutation, philox4x32, randomKey, randomWords, uniforms } from "../src/random.ts";

const hex = (words: ArrayLike<number>): string => Array.from(words, (w) => w.toString(16).padStart(8, "0")).join(" ");

const random = suite("random");

random("known answers of Random123 (kat_vectors, philox4x32 10)", () => {
  assert.is(hex(philox4x32([0, 0, 0, 0], [0, 0])), "6627e8d5 e169c58d bc57ac4c 9b00dbd8");
  const ones = 0xffffffff;
  assert.is(hex(philox4x32([ones, ones, ones, ones], [ones, ones])), "408f276d 41c83b0e a20bc7c6 6d5451fd");
  assert.is(hex(philox4x32([0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344], [0xa4093822, 0x299f31d0])), "d16cfe09 94fdcceb 5001e420 24126ea1");
});

random("agrees with 64-bit arithmetic", () => {
  const block = (counter: bigint[], key: bigint[]): bigint[] => {
    let [c0, c1, c2, c3] = counter;
    let [k0, k1] = key;
    const mask = 0xffffffffn;
    for (let round = 0; round < 10; round++) {
      const p0 = 0xd2511f53n * c0;
      const p1 = 0xcd9e8d57n * c2;
      [c0, c1, c2, c3] = [(p1 >> 32n) ^ c1 ^ k0, p1 & mask, (p0 >> 32n) ^ c3 ^ k1, p0 & mask];
      k0 = (k0 + 0x9e3779b9n) & mask;
      k1 = (k1 + 0xbb67ae85n) & mask;
    }
    return [c0, c1, c2, c3];
  };
  const word = fc.integer({ min: 0, max: 0xffffffff });
  fc.assert(fc.property(fc.tuple(word, word, word, word), fc.tuple(word, word), (counter, key) => {
    assert.equal(philox4x32(counter, key).map(BigInt), block(counter.map(BigInt), key.map(BigInt)));
  }));
});

random("FNV-1a of the published vectors", () => {
  assert.is(fnv1a32(""), 0x811c9dc5);
  assert.is(fnv1a32("a"), 0xe40c292c);
  assert.is(fnv1a32("foobar"), 0xbf9cf968);
});

random("any piece of a stream equals the same part of the whole", () => {
  const key = randomKey(42, "init/model.layers.0.q_proj");
  const whole = new Uint32Array(40);
  randomWords(whole, key, 3, 7);
  fc.assert(fc.property(fc.integer({ min: 0, max: 30 }), fc.integer({ min: 0, max: 10 }), (first, length) => {
    const part = new Uint32Array(length);
    randomWords(part, key, 3, 7, first);
    assert.equal(part, whole.subarray(first, first + length));
  }));
});

random("streams, seeds, steps and sequences differ", () => {
  const draw = (seed: number, stream: string, step: number, sequence: number): string => {
    const out = new Float32Array(4);
    uniforms(out, randomKey(seed, stream), step, sequence);
    return out.join();
  };
  const all = [draw(1, "a", 0, 0), draw(2, "a", 0, 0), draw(1, "b", 0, 0), draw(1, "a", 1, 0), draw(1, "a", 0, 1)];
  assert.is(new Set(all).size, all.length);
});

random("uniforms lie in [0, 1) and average one half", () => {
  const out = new Float32Array(1 << 16);
  uniforms(out, randomKey(7, "test"), 0, 0);
  let sum = 0;
  for (const value of out) {
    assert.ok(value >= 0 && value < 1);
    sum += value;
  }
  // Five standard deviations of the mean of 65536 uniforms.
  assert.ok(Math.abs(sum / out.length - 0.5) < 5 / Math.sqrt(12 * out.length));
});

random("a permutation is one, differs by epoch and is reproducible", () => {
  fc.assert(fc.property(fc.nat(200), fc.nat(), (n, epoch) => {
    const order = permutation(n, 42, epoch);
    assert.equal([...order].sort((a, b) => a - b), Array.from({ length: n }, (_, i) => i));
    assert.equal(order, permutation(n, 42, epoch));
  }));
  assert.is.not(permutation(50, 42, 0).join(), permutation(50, 42, 1).join());
  assert.is.not(permutation(50, 42, 0).join(), permutation(50, 43, 0).join());
  // A fixed order, so that no later change reshuffles the data of a resumed run.
  assert.is(permutation(8, 42, 0).join(), "1,3,2,0,7,5,6,4");
});

random("every order of three rows is about equally likely", () => {
  const counts = new Map<string, number>();
  for (let epoch = 0; epoch < 6000; epoch++) {
    const key = permutation(3, 1, epoch).join();
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  assert.is(counts.size, 6);
  // Five standard deviations of a binomial with p = 1/6.
  for (const count of counts.values()) assert.ok(Math.abs(count - 1000) < 5 * Math.sqrt(6000 * (1 / 6) * (5 / 6)), String(count));
});

random("a seed outside 32 bits is refused", () => {
  for (const seed of [-1, 1.5, 2 ** 32, Number.NaN]) assert.throws(() => randomKey(seed, "x"), (e: unknown) => e instanceof ShapeError);
});

random.run();
