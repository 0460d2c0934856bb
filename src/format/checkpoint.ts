import { FormatError } from "../errors.ts";
import type { SourceFolder } from "../io/types.ts";
import { checkQuantizationConfig } from "./bnb-config.ts";
import { configFromGguf, ROPE_FREQS } from "./gguf-llama.ts";
import { ggufTensor, ggufWeights } from "./gguf-weights.ts";
import { openGguf, type GgufFile, type GgufMetadata } from "./gguf.ts";
import { parseJsonObject } from "./json-object.ts";
import { parseModelConfig, type ModelConfig } from "./model-config.ts";
import { openSafetensorsWeights } from "./safetensors-weights.ts";
import { selectTensors, type Region, type WeightFiles, type WeightTensor } from "./weights.ts";

export type { Bnb4Tensor, DenseTensor, WeightTensor } from "./weights.ts";
export type { ModelConfig } from "./model-config.ts";

/** A model on disk, whatever it is stored as. Names, order of rows and config are Hugging Face's. */
export interface Checkpoint {
  readonly name: string;
  readonly source: "safetensors" | "gguf";
  readonly config: ModelConfig;
  /** config.json as it is, or made up from the metadata of a GGUF file. */
  readonly rawConfig: Readonly<Record<string, unknown>>;
  /** Exactly the tensors that the config asks for, in the order of a forward pass; a tied head is not among them. */
  readonly tensors: ReadonlyMap<string, WeightTensor>;
  /** tokenizer.json, tokenizer_config.json, generation_config.json … as stored or made up; empty when the model has none. */
  tokenizerFiles(): Promise<Map<string, Uint8Array>>;
  /** Changes when a tensor's name, type, shape or any of the sampled bytes does. Hexadecimal. */
  fingerprint(): Promise<string>;
  close(): Promise<void>;
}

export interface CheckpointOptions {
  /** Makes the tokenizer's JSON files from a GGUF's metadata: `tokenizerFromGguf` of src/text. */
  readonly ggufTokenizer?: (metadata: GgufMetadata) => object | undefined;
}

/**
 * Opens a Hugging Face folder (one safetensors file or several, dense or in bitsandbytes' 4 bits) or a GGUF file.
 * Reads headers and quantization tables, no weights.
 * @throws FormatError naming file, tensor and rule.
 */
export async function openCheckpoint(folder: SourceFolder, options: CheckpointOptions = {}): Promise<Checkpoint> {
  if (await folder.has("config.json")) return openFolder(folder);
  const files = await folder.list();
  const gguf = files.filter((file) => file.endsWith(".gguf"));
  if (gguf.length === 1) return openGgufCheckpoint(folder, gguf[0], options);
  if (gguf.length > 1) throw new FormatError(folder.name, "GGUF files", { expected: "one", got: gguf.join(", "), hint: "give the path of the file itself" });
  const adapter = files.includes("adapter_config.json");
  throw new FormatError(folder.name, "model", { expected: "config.json or a .gguf file", got: adapter ? "an adapter" : "neither", ...(adapter ? { hint: "give this folder as --adapter, and its base as --model" } : {}) });
}

const TOKENIZER_FILES = [
  "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja", "chat_template.json",
  "generation_config.json", "vocab.json", "merges.txt", "tokenizer.model",
];

async function openFolder(folder: SourceFolder): Promise<Checkpoint> {
  const where = `${folder.name}/config.json`;
  const rawConfig = parseJsonObject(await folder.readText("config.json"), where);
  checkQuantizationConfig(rawConfig, where);
  const config = parseModelConfig(rawConfig, where);
  const files = await openSafetensorsWeights(folder);
  return checkpoint(folder.name, "safetensors", rawConfig, config, files, async () => {
    const found = new Map<string, Uint8Array>();
    for (const file of TOKENIZER_FILES) {
      if (!(await folder.has(file))) continue;
      const source = await folder.open(file);
      found.set(file, await source.read(0, source.size).finally(() => source.close()));
    }
    return found;
  });
}

async function openGgufCheckpoint(folder: SourceFolder, name: string, { ggufTokenizer }: CheckpointOptions): Promise<Checkpoint> {
  const source = await folder.open(name);
  try {
    const file = await openGguf(source);
    const rawConfig = withoutUndefined(configFromGguf(file, await ropeFactors(file)));
    const config = parseModelConfig(rawConfig, source.name);
    return await checkpoint(folder.name, "gguf", rawConfig, config, ggufWeights(file, config), async () => {
      const built = Object.entries(ggufTokenizer?.(file.metadata) ?? {});
      return new Map(built.map(([fileName, json]) => [fileName, new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`)]));
    });
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function ropeFactors(file: GgufFile): Promise<Float32Array | undefined> {
  const tensor = file.tensors.get(ROPE_FREQS);
  if (!tensor) return undefined;
  const values = await ggufTensor(file, tensor, ROPE_FREQS).read(0, tensor.shape.reduce((a, b) => a * b, 1));
  if (!(values instanceof Float32Array)) throw new FormatError(`${file.source.name}: ${ROPE_FREQS}`, "GGUF type", { expected: "F32", got: tensor.type.name });
  return values;
}

async function checkpoint(
  name: string, source: Checkpoint["source"], rawConfig: Record<string, unknown>, config: ModelConfig, files: WeightFiles, tokenizerFiles: Checkpoint["tokenizerFiles"],
): Promise<Checkpoint> {
  try {
    const tensors = selectTensors(files.tensors, config, name);
    return { name, source, config, rawConfig, tensors, tokenizerFiles, fingerprint: () => fingerprint(files.regions), close: files.close };
  } catch (error) {
    await files.close();
    throw error;
  }
}

const SAMPLES = 8;
const SAMPLE_BYTES = 256;

/** Hashes samples, evenly spread over each tensor: reading everything would take longer than many a run. */
async function fingerprint(regions: readonly Region[]): Promise<string> {
  const sorted = [...regions].sort((a, b) => (a.name < b.name ? -1 : 1));
  const parts: Uint8Array[] = [];
  for (const { name, storage, source, offset, bytes } of sorted) {
    parts.push(new TextEncoder().encode(`${name} ${storage}\n`));
    const length = Math.min(SAMPLE_BYTES, bytes);
    for (let i = 0; i < SAMPLES; i++) parts.push(await source.read(offset + Math.floor(((bytes - length) * i) / (SAMPLES - 1)), length));
  }
  const all = new Uint8Array(await new Blob(parts as BlobPart[]).arrayBuffer());
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", all));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function withoutUndefined(json: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(json).filter(([, value]) => value !== undefined));
}
