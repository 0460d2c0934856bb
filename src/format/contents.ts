import { FormatError } from "../errors.ts";
import type { SourceFolder } from "../io/types.ts";
import { parseJsonObject } from "./json-object.ts";
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from "./peft.ts";
import { openSafetensorsTensors } from "./safetensors-weights.ts";
import { INDEX_FILE, SINGLE_FILE } from "./shards.ts";
import type { StoredFiles } from "./weights.ts";

type Json = Readonly<Record<string, unknown>>;

/** Whatever lies at a path, as it is stored: no family is required and no tensor is missed. */
export interface Contents extends StoredFiles {
  readonly name: string;
  readonly kind: "model" | "adapter" | "checkpoint" | "tensors";
  /** `safetensors`, `GGUF 3` */
  readonly format: string;
  /** config.json or adapter_config.json; of a GGUF file its metadata in config.json's words. */
  readonly config: Json | undefined;
  /** trainer_state.json of a checkpoint of training. */
  readonly trainerState?: Json;
}

const STATE_FILE = "trainer_state.json";

/**
 * Opens a model folder, an adapter, a checkpoint of training, a `.safetensors` file, or with `openGguf` a `.gguf` file, whose
 * code is a tenth of the small entry. Reads headers alone.
 * @throws FormatError naming file, tensor and rule.
 */
export async function openContents(folder: SourceFolder, openGguf?: (folder: SourceFolder, file: string) => Promise<Contents>): Promise<Contents> {
  if (await folder.has("config.json")) return safetensors(folder, "model", undefined, await jsonOf(folder, "config.json"));
  if (await folder.has(ADAPTER_CONFIG)) return adapter(folder);
  const files = await folder.list();
  const only = (ending: string): string | undefined => {
    const found = files.filter((file) => file.endsWith(ending));
    if (found.length > 1) throw new FormatError(folder.name, `${ending} files`, { expected: "one", got: found.join(", "), hint: "give the path of the file itself" });
    return found[0];
  };
  const gguf = only(".gguf");
  if (gguf !== undefined && openGguf) return openGguf(folder, gguf);
  if (files.includes(SINGLE_FILE) || files.includes(INDEX_FILE)) return safetensors(folder, "tensors", undefined, undefined);
  const file = only(".safetensors");
  if (file !== undefined) return safetensors(folder, "tensors", file, undefined);
  const pickled = files.find((name) => /\.(bin|pt|pth)$/.test(name));
  throw new FormatError(folder.name, "tensors", {
    expected: `a model, an adapter, ${openGguf ? "a .gguf " : ""}or a .safetensors file`, got: gguf ?? pickled ?? files[0] ?? "an empty folder",
    ...(gguf !== undefined ? { hint: "`inspect` of `nibblelm` opens GGUF files" } : pickled ? { hint: "pickled weights can run code and are never opened: convert them to safetensors" } : {}),
  });
}

async function jsonOf(folder: SourceFolder, file: string): Promise<Json> {
  return parseJsonObject(await folder.readText(file), `${folder.name}/${file}`);
}

async function adapter(folder: SourceFolder): Promise<Contents> {
  const config = await jsonOf(folder, ADAPTER_CONFIG);
  const trainerState = (await folder.has(STATE_FILE)) ? await jsonOf(folder, STATE_FILE) : undefined;
  const contents = await safetensors(folder, trainerState ? "checkpoint" : "adapter", ADAPTER_WEIGHTS, config);
  return trainerState ? { ...contents, trainerState } : contents;
}

async function safetensors(folder: SourceFolder, kind: Contents["kind"], file: string | undefined, config: Json | undefined): Promise<Contents> {
  const stored = await openSafetensorsTensors(folder, file);
  const byName = new Intl.Collator("en", { numeric: true }).compare; // layer 2 before layer 10
  const tensors = new Map([...stored.tensors].sort(([a], [b]) => byName(a, b)));
  return { ...stored, tensors, name: folder.name, kind, format: "safetensors", config };
}
