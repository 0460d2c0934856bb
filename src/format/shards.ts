import { FormatError } from "../errors.ts";
import { parseJsonObject } from "./json-object.ts";
import { jsonFile } from "./python-json.ts";

/** Where Transformers begins a new file. */
export const MAX_SHARD_BYTES = 5e9;
export const SINGLE_FILE = "model.safetensors";
export const INDEX_FILE = "model.safetensors.index.json";

/** What must lie in one file: a weight and its quantization constants. */
export interface ShardUnit {
  readonly bytes: number;
}

export interface Shard<T> {
  readonly file: string;
  readonly units: readonly T[];
}

/** Units in their order, cut before the one that would bring a file over the limit. */
export function planShards<T extends ShardUnit>(units: readonly T[], maxBytes = MAX_SHARD_BYTES): Shard<T>[] {
  const groups: T[][] = [[]];
  let filled = 0;
  for (const unit of units) {
    if (filled + unit.bytes > maxBytes && groups[groups.length - 1].length) {
      groups.push([]);
      filled = 0;
    }
    groups[groups.length - 1].push(unit);
    filled += unit.bytes;
  }
  if (groups.length === 1) return [{ file: SINGLE_FILE, units: groups[0] }];
  const number = (n: number): string => String(n).padStart(5, "0");
  return groups.map((group, i) => ({ file: `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`, units: group }));
}

/** `model.safetensors.index.json`. */
export function shardIndex(weightMap: ReadonlyMap<string, string>, totalSize: number): string {
  return jsonFile({ metadata: { total_size: totalSize }, weight_map: Object.fromEntries(weightMap) });
}

/** No separator: an index must not lead out of its folder. */
const FILE_NAME = /^[^/\\\0]+\.safetensors$/;

/**
 * Tensor name → file.
 * @throws FormatError when the index is no index, or names a file outside its folder.
 */
export function parseShardIndex(text: string, where: string): Map<string, string> {
  const map = parseJsonObject(text, where)["weight_map"];
  if (typeof map !== "object" || map === null || Array.isArray(map)) throw new FormatError(where, "weight_map", { expected: "an object", got: JSON.stringify(map) });
  const files = new Map<string, string>();
  for (const [tensor, file] of Object.entries(map)) {
    if (typeof file !== "string" || !FILE_NAME.test(file)) {
      throw new FormatError(where, `file of ${tensor}`, { expected: "a .safetensors file in the same folder", got: JSON.stringify(file) });
    }
    files.set(tensor, file);
  }
  return files;
}
