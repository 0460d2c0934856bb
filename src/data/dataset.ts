/** Training and evaluation data: bytes of a `.txt` or `.jsonl` file → rows of token ids. */
import { FormatError, ShapeError } from "../errors.ts";
import type { Tokenizer } from "../text/tokenizer.ts";
import type { TokenRow } from "./collate.ts";
import { jsonlRows } from "./jsonl.ts";
import { textWindows } from "./text-windows.ts";

/** What rows are made with. */
export interface DatasetOptions {
  /** Decides the format by its ending, and stands in every error: `data/train.jsonl`. */
  readonly fileName: string;
  /** Not needed for rows of `input_ids`. */
  readonly tokenizer?: Pick<Tokenizer, "encode" | "decode" | "prefixIds" | "eosId">;
  /** Tokens of the longest row. */
  readonly maxLength: number;
  /** Ends `text` and `completion` rows; the tokenizer's own by default. */
  readonly eosId?: number;
  /** Size of the model's vocabulary, against which `input_ids` are checked. */
  readonly vocabSize: number;
}

export interface Dataset {
  readonly rows: readonly TokenRow[];
  readonly kind: "text" | "jsonl";
  /** Tokens in all rows. */
  readonly tokens: number;
  /** Rows cut at `maxLength`. */
  readonly truncated: number;
  /** Tokens at the end of a `.txt` that fill no window. */
  readonly leftOver: number;
}

/**
 * @throws FormatError with `file:line` for a bad row, or when no row is left.
 * @throws ShapeError for an ending other than `.txt` and `.jsonl`, or a bad `maxLength`.
 */
export function loadDataset(bytes: Uint8Array, options: DatasetOptions): Dataset {
  const { fileName, maxLength } = options;
  if (!Number.isInteger(maxLength) || maxLength < 2) throw new ShapeError("data", "maxLength", { expected: "a whole number of at least 2", got: maxLength });
  const text = decodeUtf8(bytes, fileName);
  if (/\.txt$/i.test(fileName)) return textWindows(text, options);
  if (/\.jsonl$/i.test(fileName)) return jsonlRows(text, options);
  throw new ShapeError(fileName, "unknown kind of data", { expected: "a .txt or .jsonl file", got: fileName });
}

/** Without a byte order mark. */
function decodeUtf8(bytes: Uint8Array, fileName: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(`${fileName}:${badLine(bytes)}`, "not UTF-8", { cause, hint: "save the file as UTF-8" });
  }
}

/** No byte of a UTF-8 sequence is a line feed, so each line can be tried alone. */
function badLine(bytes: Uint8Array): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (let begin = 0, line = 1; ; line++) {
    const feed = bytes.indexOf(10, begin);
    try {
      decoder.decode(bytes.subarray(begin, feed < 0 ? undefined : feed));
    } catch {
      return line;
    }
    if (feed < 0) return line;
    begin = feed + 1;
  }
}
