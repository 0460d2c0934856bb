/**
 * A `.jsonl` file: one row a line, all rows of one kind.
 * `{"text"}`: every token is learnt. `{"prompt","completion"}`: only the completion is.
 * `{"input_ids","labels"?}`: taken as they are; label −100 is not learnt.
 */
import { FormatError, ShapeError } from "../errors.ts";
import { countTargets, type TokenRow } from "./collate.ts";
import { encodeCompletion } from "./completion.ts";
import type { Dataset, DatasetOptions } from "./dataset.ts";
import { IGNORED } from "./labels.ts";

type Row = Readonly<Record<string, unknown>>;

/** Keys of each kind of row; those with a question mark may be absent. */
const KINDS: ReadonlyMap<string, readonly string[]> = new Map([
  ["text", ["text"]],
  ["completion", ["prompt", "completion"]],
  ["ids", ["input_ids", "labels?"]],
]);
const ANY_KIND = '{"text"}, {"prompt","completion"} or {"input_ids","labels"?}';

export function jsonlRows(text: string, options: DatasetOptions): Dataset {
  const rows: TokenRow[] = [];
  let kind: string | undefined;
  let truncated = 0;
  let tokens = 0;
  text.split("\n").forEach((line, i) => {
    if (line.trim() === "") return;
    const where = `${options.fileName}:${i + 1}`;
    const row = parseRow(line, where);
    const own = kindOf(row, where);
    kind ??= own;
    if (own !== kind) throw new FormatError(where, "rows of different kinds in one file", { expected: describe(kind), got: describe(own) });
    const made = own === "ids" ? fromIds(row, where, options) : fromText(row, where, options);
    if (countTargets([made.row]) === 0) throw noTarget(where, made.cut);
    rows.push(made.row);
    tokens += made.row.inputIds.length;
    if (made.cut) truncated++;
  });
  if (!rows.length) throw new FormatError(options.fileName, "no rows", { expected: `lines of ${ANY_KIND}` });
  return { rows, kind: "jsonl", tokens, truncated, leftOver: 0 };
}

function parseRow(line: string, where: string): Row {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch (cause) {
    throw new FormatError(where, "broken JSON", { got: (cause as Error).message, cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new FormatError(where, "not an object", { expected: ANY_KIND, got: line.trim().slice(0, 40) });
  return value as Row;
}

function kindOf(row: Row, where: string): string {
  const keys = Object.keys(row);
  for (const [kind, names] of KINDS) {
    const required = names.filter((name) => !name.endsWith("?"));
    const allowed = names.map((name) => name.replace("?", ""));
    if (required.every((name) => keys.includes(name)) && keys.every((name) => allowed.includes(name))) return kind;
  }
  const hint = keys.includes("messages") ? "conversations are not read yet; render them with the chat template into {\"text\"}" : "remove or rename the other keys";
  throw new FormatError(where, "unknown keys", { expected: ANY_KIND, got: `{${keys.map((key) => JSON.stringify(key)).join(",")}}`, hint });
}

function describe(kind: string): string {
  return `{${KINDS.get(kind)!.map((name) => JSON.stringify(name)).join(",")}}`;
}

interface Made {
  readonly row: TokenRow;
  readonly cut: boolean;
}

function fromText(row: Row, where: string, { tokenizer, eosId, maxLength }: DatasetOptions): Made {
  if (!tokenizer) throw new FormatError(where, "text needs a tokenizer", { hint: "this model has none; give rows of input_ids" });
  const end = eosId ?? tokenizer.eosId;
  if (end === undefined) throw new FormatError(where, "the tokenizer has no end-of-sequence token", { hint: "name eos_token in tokenizer_config.json" });
  const prompt = "prompt" in row ? stringOf(row, "prompt", where) : "";
  const completion = stringOf(row, "prompt" in row ? "completion" : "text", where);
  const { ids, boundary } = encodeCompletion(tokenizer, prompt, completion);
  if (ids.at(-1) !== end) ids.push(end);
  const inputIds = Int32Array.from(ids.slice(0, maxLength));
  // Of a `text` row everything is learnt: what the tokenizer puts in front too, if anything came before it.
  const labels = inputIds.slice().fill(IGNORED, 0, "prompt" in row ? boundary : 0);
  return { row: { inputIds, labels }, cut: ids.length > maxLength };
}

function fromIds(row: Row, where: string, { vocabSize, maxLength }: DatasetOptions): Made {
  const inputIds = idsOf(row, "input_ids", where, vocabSize, false);
  if (inputIds.length > maxLength) {
    throw new ShapeError(where, "input_ids are taken as they are, but this row is too long", { expected: `at most ${maxLength}`, got: inputIds.length, hint: `give --max-length ${inputIds.length} or shorten the row` });
  }
  const labels = "labels" in row ? idsOf(row, "labels", where, vocabSize, true) : inputIds;
  if (labels.length !== inputIds.length) throw new FormatError(where, "length of labels", { expected: inputIds.length, got: labels.length });
  return { row: { inputIds, labels }, cut: false };
}

function stringOf(row: Row, key: string, where: string): string {
  const value = row[key];
  if (typeof value !== "string") throw new FormatError(where, key, { expected: "a string", got: JSON.stringify(value)?.slice(0, 40) });
  return value;
}

function idsOf(row: Row, key: string, where: string, vocabSize: number, ignorable: boolean): Int32Array {
  const value = row[key];
  if (!Array.isArray(value)) throw new FormatError(where, key, { expected: "a list of ids", got: JSON.stringify(value)?.slice(0, 40) });
  value.forEach((id, i) => {
    const valid = Number.isInteger(id) && ((id >= 0 && id < vocabSize) || (ignorable && id === IGNORED));
    if (!valid) throw new FormatError(where, `${key}[${i}]`, { expected: `0 … ${vocabSize - 1}${ignorable ? ` or ${IGNORED}` : ""}`, got: JSON.stringify(id) });
  });
  return Int32Array.from(value as number[]);
}

function noTarget(where: string, cut: boolean): FormatError {
  const hint = cut ? "the prompt alone fills the row: raise --max-length or shorten the prompt" : "every label but the first is −100, or the row has fewer than two tokens";
  return new FormatError(where, "nothing to learn in this row", { hint });
}
