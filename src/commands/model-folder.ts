import type { Checkpoint } from "../format/checkpoint.ts";
import type { FloatName } from "../format/model-writer.ts";
import { jsonFile } from "../format/python-json.ts";
import type { SinkFolder } from "../io/types.ts";

/** Runs what writes a folder: everything appears when it succeeds, nothing when it throws. */
export async function wholeOrNothing<T>(output: SinkFolder, work: () => Promise<T>): Promise<T> {
  try {
    const result = await work();
    await output.commit();
    return result;
  } catch (error) {
    await output.discard();
    throw error;
  }
}

/** config.json of another model with its own quantization instead, and with the dtype of what stays dense. */
export function configOf(checkpoint: Checkpoint, dtype: FloatName | undefined, quantization: Record<string, unknown>): Record<string, unknown> {
  const config: Record<string, unknown> = { ...checkpoint.rawConfig };
  delete config["quantization_config"];
  delete config["nibblelm_embeddings"];
  // Transformers 5 calls it dtype, older files torch_dtype.
  if (dtype) config["dtype" in config ? "dtype" : "torch_dtype"] = dtype;
  return { ...config, ...quantization };
}

const GENERATION_CONFIG = "generation_config.json";

/**
 * Everything of a model folder but the weights.
 * @returns whether there is a tokenizer.
 */
export async function writeModelFiles(output: SinkFolder, checkpoint: Checkpoint, config: Record<string, unknown>): Promise<boolean> {
  await output.writeText("config.json", jsonFile(config));
  const files = await checkpoint.tokenizerFiles();
  for (const [name, bytes] of files) {
    const sink = await output.create(name);
    await sink.write(0, bytes);
    await sink.close();
  }
  if (!files.has(GENERATION_CONFIG)) {
    const { bos_token_id, eos_token_id, pad_token_id } = config;
    await output.writeText(GENERATION_CONFIG, jsonFile({ _from_model_config: true, bos_token_id, eos_token_id, pad_token_id }));
  }
  return files.has("tokenizer.json") || files.has("tokenizer.model");
}
