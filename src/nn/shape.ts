/** The sizes of a Llama that its layers need; `ModelConfig` of a checkpoint has them all. */
export interface LlamaShape {
  readonly vocabSize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numHiddenLayers: number;
  readonly numAttentionHeads: number;
  readonly numKeyValueHeads: number;
  readonly headDim: number;
  readonly rmsNormEps: number;
}

/** What one call works on: `batch` sequences of `length` rows that see `keyLength` keys. */
export interface Span {
  readonly batch: number;
  readonly length: number;
  readonly keyLength: number;
}

export const rowsOf = (span: Span): number => span.batch * span.length;
