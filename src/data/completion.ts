/** A prompt and its completion as ids, with a boundary that generation meets too. */
import type { Tokenizer } from "../text/tokenizer.ts";

/** Texts that seldom merge with what follows; tried where a completion alone would gain a space in front. */
const ANCHORS = ["\n", "a", "."];

/**
 * `boundary` is the number of ids before the completion: the tokenizer's prefix and the prompt, exactly the
 * ids that generation starts from. Usually that is where the ids of the joined text split too; where a
 * token would straddle the two texts, they are encoded apart.
 */
export function encodeCompletion(tokenizer: Pick<Tokenizer, "encode" | "decode" | "prefixIds">, prompt: string, completion: string): { ids: number[]; boundary: number } {
  const encode = (text: string): number[] => (text === "" ? [] : tokenizer.encode(text, { special: false }));
  const head = encode(prompt);
  const whole = encode(prompt + completion);
  const boundary = tokenizer.prefixIds.length + head.length;
  const tail = startsWith(whole, head) ? whole.slice(head.length) : apart(tokenizer, encode, head, completion);
  return { ids: [...tokenizer.prefixIds, ...head, ...tail], boundary };
}

function apart(tokenizer: Pick<Tokenizer, "decode">, encode: (text: string) => number[], head: number[], completion: string): number[] {
  const wanted = tokenizer.decode(head) + completion;
  const alone = encode(completion);
  const fits = (tail: number[]): boolean => tokenizer.decode([...head, ...tail]) === wanted;
  if (fits(alone)) return alone;
  for (const anchor of ANCHORS) {
    const before = encode(anchor);
    const both = encode(anchor + completion);
    if (startsWith(both, before) && fits(both.slice(before.length))) return both.slice(before.length);
  }
  return alone;
}

function startsWith(ids: readonly number[], head: readonly number[]): boolean {
  return head.every((id, i) => ids[i] === id);
}
