/** A `.txt` file: tokenized whole, without special tokens, cut into windows of `maxLength`. */
import { FormatError } from "../errors.ts";
import type { Dataset, DatasetOptions } from "./dataset.ts";

/** A shorter window at the end is left out; the first token of a window is nobody's target. */
export function textWindows(text: string, { fileName, tokenizer, maxLength }: DatasetOptions): Dataset {
  if (!tokenizer) throw new FormatError(fileName, "text needs a tokenizer", { hint: "this model has none; give rows of input_ids in a .jsonl file" });
  if (text.trim() === "") throw new FormatError(fileName, "empty");
  const ids = Int32Array.from(tokenizer.encode(text, { special: false }));
  const count = Math.floor(ids.length / maxLength);
  if (count === 0) {
    throw new FormatError(fileName, "too short for one window", { expected: `at least ${maxLength} tokens`, got: ids.length, hint: `give more text or --max-length ${Math.max(2, ids.length)}` });
  }
  const rows = Array.from({ length: count }, (_, i) => {
    const window = ids.subarray(i * maxLength, (i + 1) * maxLength);
    return { inputIds: window, labels: window };
  });
  return { rows, kind: "text", tokens: count * maxLength, truncated: 0, leftOver: ids.length - count * maxLength };
}
