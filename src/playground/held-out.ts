import type { LanguageModel } from "../commands/language-model.ts";
import type { DataFile } from "../commands/train.ts";
import type { TokenRow } from "../data/collate.ts";
import { loadDataset } from "../data/dataset.ts";
import { FormatError } from "../errors.ts";

const MOST_MEASURED = 48; // rows: enough to see the loss fall, few enough not to wait for it

/** The first nine tenths of the rows to train on, and rows of the last tenth to measure with. @throws FormatError for less than ten rows. */
export function heldOut(file: DataFile, { tokenizer, config }: Pick<LanguageModel, "tokenizer" | "config">, maxLength: number): { train: DataFile; rows: readonly TokenRow[] } {
  const { rows } = loadDataset(file.bytes, { fileName: file.name, tokenizer, maxLength, vocabSize: config.vocabSize });
  const cut = Math.floor(0.9 * rows.length);
  if (rows.length < 10) throw new FormatError(file.name, "too little text", { expected: `at least 10 rows of up to ${maxLength} tokens`, got: rows.length, hint: "add text, or choose a shorter length: the last tenth is kept to measure with" });
  const lines = rows.slice(0, cut).map(({ inputIds, labels }) => JSON.stringify({ input_ids: [...inputIds], labels: [...labels] }));
  return { train: { name: `${file.name.replace(/\.[^.]*$/, "")}.jsonl`, bytes: new TextEncoder().encode(lines.join("\n")) }, rows: rows.slice(cut, cut + MOST_MEASURED) };
}
