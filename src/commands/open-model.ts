import { openCheckpoint, type Checkpoint } from "../format/checkpoint.ts";
import type { SourceFolder } from "../io/types.ts";
import { tokenizerFromGguf } from "../text/gguf-tokenizer.ts";

/** A model with its tokenizer, which a GGUF file keeps in its metadata. @throws FormatError */
export function openModel(folder: SourceFolder): Promise<Checkpoint> {
  return openCheckpoint(folder, { ggufTokenizer: tokenizerFromGguf });
}
