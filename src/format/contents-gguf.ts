import type { SourceFolder } from "../io/types.ts";
import type { Contents } from "./contents.ts";
import { ggufTensors } from "./gguf-weights.ts";
import { openGguf, type GgufFile } from "./gguf.ts";

/** A GGUF file of any family, as it is stored. @throws FormatError */
export async function ggufContents(folder: SourceFolder, name: string): Promise<Contents> {
  const source = await folder.open(name);
  try {
    const file = await openGguf(source);
    return { ...ggufTensors(file), name: folder.name, kind: "model", format: `GGUF ${file.version}`, config: configOf(file) };
  } catch (error) {
    await source.close();
    throw error;
  }
}

/** Of any family: the same keys stand behind the family's name. */
function configOf({ metadata, tensors }: GgufFile): Readonly<Record<string, unknown>> {
  const family = metadata.get("general.architecture");
  const of = (key: string): unknown => metadata.get(`${String(family)}.${key}`);
  const tokens = metadata.get("tokenizer.ggml.tokens");
  return {
    model_type: family, num_hidden_layers: of("block_count"), hidden_size: of("embedding_length"), intermediate_size: of("feed_forward_length"),
    num_attention_heads: of("attention.head_count"), num_key_value_heads: of("attention.head_count_kv"), head_dim: of("attention.key_length"),
    vocab_size: Array.isArray(tokens) ? tokens.length : of("vocab_size"), tie_word_embeddings: tensors.has("token_embd.weight") && !tensors.has("output.weight"),
    max_position_embeddings: of("context_length"), rope_theta: of("rope.freq_base"),
  };
}
