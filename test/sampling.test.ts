import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, ShapeError } from "../src/errors.ts";
import { argmax, sampleToken, samplingOptions } from "../src/text/sampling.ts";

const sampling = suite("sampling");
const f32 = (...values: number[]): Float32Array => Float32Array.of(...values);

/** How often each id comes up in `draws` draws. */
function counts(logits: Float32Array, given: Parameters<typeof samplingOptions>[0], draws: number, previous?: number[]): number[] {
  const options = samplingOptions(given);
  const result = new Array<number>(logits.length).fill(0);
  for (let index = 0; index < draws; index++) result[sampleToken(logits, options, index, previous)]++;
  return result;
}

sampling("greedy takes the largest, the lowest id of equals", () => {
  assert.is(argmax(f32(1, 3, 3, 2)), 1);
  assert.is(argmax(f32(-5)), 0);
  assert.is(argmax(f32(-Infinity, -7)), 1);
  assert.is(sampleToken(f32(0, 2, 1), samplingOptions(), 0), 1);
});

sampling("NaN and infinite logits are refused", () => {
  for (const logits of [f32(1, NaN), f32(NaN, 1), f32(-Infinity, -Infinity), f32(0, Infinity), f32()]) {
    assert.throws(() => argmax(logits), (e: unknown) => e instanceof FormatError);
    assert.throws(() => sampleToken(logits, samplingOptions({ temperature: 1 }), 0), (e: unknown) => e instanceof FormatError);
  }
});

sampling("frequencies follow the softmax of logits / temperature", () => {
  const logits = f32(0, 1, 2, -1);
  const draws = 20000;
  const weights = [...logits].map((z) => Math.exp(z / 0.7));
  const total = weights.reduce((a, b) => a + b);
  counts(logits, { temperature: 0.7 }, draws).forEach((count, id) => {
    const p = weights[id] / total;
    assert.ok(Math.abs(count - draws * p) < 5 * Math.sqrt(draws * p * (1 - p)), `id ${id}: ${count} of ${draws}, p ${p}`);
  });
});

sampling("top-k keeps k, lower ids first among equals", () => {
  const kept = counts(f32(1, 2, 1, 1, 0), { temperature: 1, topK: 3 }, 500).map((count) => count > 0);
  assert.equal(kept, [true, true, true, false, false]);
  assert.equal(counts(f32(1, 2), { temperature: 1, topK: 1 }, 50), [0, 50]);
  assert.ok(counts(f32(1, 2), { temperature: 1, topK: 9 }, 100)[0] > 0);
});

sampling("top-p keeps the fewest tokens that reach p", () => {
  // Probabilities 0.4, 0.3, 0.2, 0.1.
  const logits = f32(Math.log(0.2), Math.log(0.4), Math.log(0.1), Math.log(0.3));
  const kept = (topP: number): boolean[] => counts(logits, { temperature: 1, topP }, 800).map((count) => count > 0);
  assert.equal(kept(0.39), [false, true, false, false]);
  assert.equal(kept(0.6), [false, true, false, true]);
  assert.equal(kept(0.89), [true, true, false, true]);
  assert.equal(kept(0.95), [true, true, true, true]);
});

sampling("top-p after top-k, against the plain definition", () => {
  const logit = fc.integer({ min: -40, max: 40 }).map((n) => n / 8);
  fc.assert(fc.property(fc.array(logit, { minLength: 1, maxLength: 30 }), fc.integer({ min: 0, max: 12 }), fc.integer({ min: 1, max: 99 }), fc.nat(1000), (values, topK, percent, index) => {
    const topP = percent / 100;
    const order = values.map((_, id) => id).sort((a, b) => values[b] - values[a] || a - b).slice(0, topK || values.length);
    const weights = order.map((id) => Math.exp(Math.fround(values[id]) - Math.fround(values[order[0]])));
    const total = weights.reduce((a, b) => a + b);
    let sum = 0;
    const allowed = order.filter((_, i) => {
      const needed = sum < total * topP;
      sum += weights[i];
      return needed;
    });
    const id = sampleToken(Float32Array.from(values), samplingOptions({ temperature: 1, topK, topP }), index);
    assert.ok(allowed.includes(id), `${id} of ${allowed}`);
  }));
});

sampling("the repetition penalty divides positive logits and multiplies negative ones, once each", () => {
  const options = samplingOptions({ repetitionPenalty: 2 });
  assert.is(sampleToken(f32(3, 2), options, 0, [0, 0]), 1);
  assert.is(sampleToken(f32(3, 1), options, 0, [0, 0]), 0);
  assert.is(sampleToken(f32(-1, -1.5), options, 0, [0]), 1);
  const logits = f32(3, 2);
  sampleToken(logits, options, 0, [0]);
  assert.equal([...logits], [3, 2]);
});

sampling("seed and index fix the draw", () => {
  const logits = Float32Array.from({ length: 100 }, (_, i) => Math.sin(i));
  const run = (seed: number): string => Array.from({ length: 20 }, (_, i) => sampleToken(logits, samplingOptions({ temperature: 1, seed }), i)).join();
  assert.is(run(1), run(1));
  assert.is.not(run(1), run(2));
});

sampling("options outside their range are refused by name", () => {
  const bad = [{ temperature: -1 }, { temperature: NaN }, { topK: 1.5 }, { topK: -1 }, { topP: 0 }, { topP: 1.1 }, { repetitionPenalty: 0 }, { seed: -1 }];
  for (const given of bad) assert.throws(() => samplingOptions(given), (e: unknown) => e instanceof ShapeError && e.message.includes(Object.keys(given)[0]));
  assert.is(samplingOptions({ topK: undefined }).topK, 0);
});

sampling.run();
