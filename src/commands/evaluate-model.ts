import { loadDataset } from "../data/dataset.ts";
import type { SourceFolder } from "../io/types.ts";
import type { Evaluation } from "./evaluate.ts";
import { loadModel, type LoadModelOptions } from "./language-model.ts";
import type { DataFile } from "./train.ts";

export interface EvaluateOptions extends LoadModelOptions {
  readonly adapter?: SourceFolder | undefined;
  readonly data: DataFile;
  /** Tokens of a window of text, and of the longest row; default 512. */
  readonly maxLength?: number | undefined;
  /** Rows computed together; default 1. */
  readonly batchSize?: number | undefined;
}

/** Loss and perplexity of a model on a text. To measure several, `loadModel` once. @throws ShapeError, FormatError, MemoryError */
export async function evaluate(options: EvaluateOptions): Promise<Evaluation> {
  const { adapter, data, batchSize = 1, maxLength = 512, signal } = options;
  const model = await loadModel(options);
  try {
    const { rows } = loadDataset(data.bytes, { fileName: data.name, tokenizer: model.tokenizer, maxLength, vocabSize: model.config.vocabSize });
    const adapters = adapter ? [{ adapter: await model.loadAdapter(adapter) }] : [];
    return await model.evaluate(rows, { adapters, batchSize, signal });
  } finally {
    model.dispose();
  }
}
