/**
 * From logits to the next token, by rules that leave nothing open: of equal logits the lower id comes
 * first, everywhere. Order of the steps as in Transformers: repetition penalty, temperature, top-k, top-p.
 */
import { FormatError, ShapeError } from "../errors.ts";
import { randomKey, randomWords, uniformOf } from "../random.ts";

export interface SamplingOptions {
  /** 0 takes the most likely token. */
  readonly temperature: number;
  /** Keep this many of the most likely tokens; 0 keeps all. */
  readonly topK: number;
  /** Keep the fewest most likely tokens whose probabilities reach this sum; 1 keeps all. */
  readonly topP: number;
  /** Above 1, tokens that already occur become less likely (Keskar et al., 2019). */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

export const SAMPLING_DEFAULTS: SamplingOptions = { temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1, seed: 42 };

/** Defaults filled in. @throws ShapeError naming the option. */
export function samplingOptions(given: Partial<SamplingOptions> = {}): SamplingOptions {
  const defined = Object.fromEntries(Object.entries(given).filter(([name, value]) => value !== undefined && name in SAMPLING_DEFAULTS));
  const options: SamplingOptions = { ...SAMPLING_DEFAULTS, ...defined };
  const check = (name: keyof SamplingOptions, valid: boolean, expected: string): void => {
    if (!valid || !Number.isFinite(options[name])) throw new ShapeError("generate", name, { expected, got: options[name] });
  };
  check("temperature", options.temperature >= 0, "a number of at least 0");
  check("topK", Number.isInteger(options.topK) && options.topK >= 0, "a whole number of at least 0");
  check("topP", options.topP > 0 && options.topP <= 1, "a number above 0 and at most 1");
  check("repetitionPenalty", options.repetitionPenalty > 0, "a number above 0");
  randomKey(options.seed, "sample");
  return options;
}

/**
 * @param logits f32[vocab], left as they are.
 * @param index 0 for the first token generated; with the seed it fixes the random number.
 * @param previous ids that the repetition penalty looks at: the prompt and what was generated.
 * @throws FormatError when a logit is NaN or none is above −∞.
 */
export function sampleToken(logits: Float32Array, options: SamplingOptions, index: number, previous: Iterable<number> = []): number {
  const scores = options.repetitionPenalty === 1 ? logits : penalise(logits, options.repetitionPenalty, previous);
  const best = argmax(scores);
  if (options.temperature === 0 || options.topK === 1) return best;
  const weights = softmaxWeights(scores, scores[best], options.temperature);
  const candidates = nucleus(scores, weights, options);
  const word = new Uint32Array(1);
  randomWords(word, randomKey(options.seed, "sample"), index, 0);
  return draw(candidates, weights, uniformOf(word[0]));
}

/**
 * The id of the largest logit, the lowest one of equals.
 * @throws FormatError when a logit is NaN, or the largest is not finite.
 */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let finite = true;
  for (let id = 0; id < logits.length; id++) {
    if (logits[id] > logits[best]) best = id;
    finite &&= !Number.isNaN(logits[id]);
  }
  if (!finite || !Number.isFinite(logits[best])) {
    throw new FormatError("generate", "the logits are not finite", { hint: "the model or the adapter holds NaN or infinity" });
  }
  return best;
}

/** Logits of ids that occurred are divided by the penalty when positive, multiplied when negative; once each. */
function penalise(logits: Float32Array, penalty: number, previous: Iterable<number>): Float32Array {
  const scores = logits.slice();
  for (const id of new Set(previous)) {
    if (id < scores.length) scores[id] = scores[id] > 0 ? scores[id] / penalty : scores[id] * penalty;
  }
  return scores;
}

/** exp((z − max) / temperature): probabilities but for their sum. */
function softmaxWeights(scores: Float32Array, max: number, temperature: number): Float64Array {
  const weights = new Float64Array(scores.length);
  for (let id = 0; id < scores.length; id++) weights[id] = Math.exp((scores[id] - max) / temperature);
  return weights;
}

/** Ids that may be drawn, most likely first; all of them in order of id when neither limit is set. */
function nucleus(scores: Float32Array, weights: Float64Array, { topK, topP }: SamplingOptions): Uint32Array {
  const byScore = (a: number, b: number): number => scores[b] - scores[a] || a - b;
  let kept = Uint32Array.from(weights, (_, id) => id);
  if (topK && topK < kept.length) kept = kept.sort(byScore).slice(0, topK);
  if (topP === 1) return kept;
  const total = kept.reduce((sum, id) => sum + weights[id], 0);
  // What is below this cannot be needed: all such tokens together weigh less than 1 − topP. It saves sorting the vocabulary.
  const floor = (total * (1 - topP)) / (2 * kept.length);
  const sorted = kept.filter((id) => weights[id] >= floor).sort(byScore);
  let sum = 0;
  let count = 0;
  while (count < sorted.length && sum < total * topP) sum += weights[sorted[count++]];
  return sorted.slice(0, count);
}

/** The first candidate at which the running sum passes `uniform` of the total. */
function draw(candidates: Uint32Array, weights: Float64Array, uniform: number): number {
  let total = 0;
  for (const id of candidates) total += weights[id];
  const target = uniform * total;
  let sum = 0;
  let last = candidates[0];
  for (const id of candidates) {
    if (weights[id] === 0) continue;
    sum += weights[id];
    last = id;
    if (sum > target) break;
  }
  return last;
}
