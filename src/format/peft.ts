import { FormatError, ShapeError } from "../errors.ts";
import type { SourceFolder } from "../io/types.ts";
import { adapterCard } from "./adapter-card.ts";
import { parseAdapterConfig, serializeAdapterConfig, type AdapterConfig } from "./adapter-config.ts";
import { f16ToNumber } from "./gguf-blocks.ts";
import { selectModules, type LoraSettings } from "./module-selection.ts";
import { parseJsonObject } from "./json-object.ts";
import { encodeSafetensors, openSafetensors, readTensor, type HostTensor, type SafetensorsFile, type StoredTensor } from "./safetensors.ts";

export { parseAdapterConfig, serializeAdapterConfig, type AdapterConfig } from "./adapter-config.ts";
export { selectModules, type LoraSettings } from "./module-selection.ts";

export const ADAPTER_WEIGHTS = "adapter_model.safetensors";
export const ADAPTER_CONFIG = "adapter_config.json";

/** A LoRA update of one linear. */
export interface AdapterMatrices {
  readonly a: Float32Array; // f32[r, in]
  readonly b: Float32Array; // f32[out, r]
}

export interface AdapterModule extends AdapterMatrices, LoraSettings {
  readonly in: number;
  readonly out: number;
}

export interface Adapter {
  readonly config: AdapterConfig;
  /** By module path: `model.layers.0.self_attn.q_proj`. */
  readonly tensors: ReadonlyMap<string, AdapterModule>;
}

/**
 * A PEFT adapter folder.
 * @throws FormatError naming an option or a tensor that we do not implement, or one that does not fit the config.
 */
export async function readAdapter(folder: SourceFolder): Promise<Adapter> {
  const where = `${folder.name}/${ADAPTER_CONFIG}`;
  if (!(await folder.has(ADAPTER_CONFIG))) throw new FormatError(folder.name, "adapter", { expected: ADAPTER_CONFIG, got: "none", hint: "an adapter is a folder that PEFT or this program saved" });
  const config = parseAdapterConfig(parseJsonObject(await folder.readText(ADAPTER_CONFIG), where), where);
  if (!(await folder.has(ADAPTER_WEIGHTS))) {
    const pickled = await folder.has("adapter_model.bin");
    throw new FormatError(folder.name, "adapter", { expected: ADAPTER_WEIGHTS, got: pickled ? "adapter_model.bin" : "none", ...(pickled ? { hint: "pickled weights can run code and are never opened: convert them to safetensors" } : {}) });
  }
  const source = await folder.open(ADAPTER_WEIGHTS);
  try {
    return { config, tensors: await readMatrices(await openSafetensors(source), config) };
  } finally {
    await source.close();
  }
}

const KEY = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/;

/** Matrices by module path from a file with PEFT's keys. */
async function readMatrices(file: SafetensorsFile, config: AdapterConfig): Promise<Map<string, AdapterModule>> {
  const pairs = new Map<string, { A?: StoredTensor; B?: StoredTensor }>();
  for (const tensor of file.tensors.values()) {
    const [, path, side] = KEY.exec(tensor.name) ?? [];
    if (path === undefined) throw new FormatError(file.source.name, "tensor", { expected: "only base_model.model.….lora_A.weight and …lora_B.weight", got: tensor.name, hint: hintFor(tensor.name) });
    pairs.set(path, { ...pairs.get(path), [side]: tensor });
  }
  if (!pairs.size) throw new FormatError(file.source.name, "adapter", { expected: "at least one module", got: "none" });
  const settings = settingsOf(config, pairs.keys(), file.source.name);
  const modules = new Map<string, AdapterModule>();
  for (const [path, { A, B }] of pairs) {
    const where = `${file.source.name}: ${path}`;
    if (!A || !B) throw new FormatError(where, "missing tensor", { expected: "lora_A.weight and lora_B.weight", got: A ? "lora_A alone" : "lora_B alone" });
    const own = settings.get(path);
    if (!own) throw new FormatError(where, "module", { expected: "one that the config's target_modules select", got: "another" });
    if (A.shape.length !== 2 || A.shape[0] !== own.r) throw new FormatError(where, "shape of lora_A", { expected: `[${own.r}, in]`, got: `[${A.shape}]` });
    if (B.shape.length !== 2 || B.shape[1] !== own.r) throw new FormatError(where, "shape of lora_B", { expected: `[out, ${own.r}]`, got: `[${B.shape}]` });
    modules.set(path, { ...own, in: A.shape[1], out: B.shape[0], a: await readFloats(file, A), b: await readFloats(file, B) });
  }
  return modules;
}

function settingsOf(config: AdapterConfig, paths: Iterable<string>, where: string): Map<string, LoraSettings> {
  try {
    return selectModules(config, paths);
  } catch (cause) {
    throw new FormatError(where, "modules", { expected: "those that the config's target_modules select", got: "others", cause });
  }
}

function hintFor(name: string): string {
  if (name.includes("lora_magnitude_vector")) return "DoRA is not implemented";
  if (name.includes("lora_embedding_")) return "adapters of embeddings are not implemented";
  return "modules trained as a whole (modules_to_save) are not implemented";
}

async function readFloats(file: SafetensorsFile, tensor: StoredTensor): Promise<Float32Array> {
  const { buffer } = await readTensor(file, tensor);
  switch (tensor.dtype) {
    case "F32": return new Float32Array(buffer);
    case "F16": return Float32Array.from(new Uint16Array(buffer), f16ToNumber);
    case "BF16": return new Float32Array(Uint32Array.from(new Uint16Array(buffer), (bits) => bits << 16).buffer);
    default: throw new FormatError(`${file.source.name}: ${tensor.name}`, "dtype", { expected: "F32, F16 or BF16", got: tensor.dtype });
  }
}

/**
 * The files of an adapter folder, with PEFT's names and keys, and a model card.
 * @param facts rows of the card's table beside the config: label → value.
 * @throws ShapeError when the config does not select exactly these modules.
 */
export function adapterFiles(config: AdapterConfig, matrices: ReadonlyMap<string, AdapterMatrices>, facts: Readonly<Record<string, string>> = {}): Map<string, Uint8Array | string> {
  return new Map<string, Uint8Array | string>([
    [ADAPTER_WEIGHTS, encodeSafetensors(adapterTensors(config, matrices))],
    [ADAPTER_CONFIG, serializeAdapterConfig(config)],
    ["README.md", adapterCard(config, facts)],
  ]);
}

function adapterTensors(config: AdapterConfig, matrices: ReadonlyMap<string, AdapterMatrices>): HostTensor[] {
  const settings = selectModules(config, matrices.keys());
  return [...matrices].flatMap(([path, { a, b }]) => {
    const r = settings.get(path)?.r;
    if (r === undefined) throw new ShapeError("adapter", "module", { expected: "one that target_modules select", got: path });
    const tensor = (side: string, shape: number[], data: Float32Array): HostTensor => ({ name: `base_model.model.${path}.lora_${side}.weight`, dtype: "F32", shape, data });
    return [tensor("A", [r, a.length / r], a), tensor("B", [b.length / r, r], b)];
  });
}
