import { existsSync } from "node:fs";
import { ShapeError } from "../errors.ts";
import { openSource } from "../io/node.ts";
import type { SourceFolder } from "../io/types.ts";
import { parseHubId, type HubId } from "./hub-id.ts";
import type { HubOptions } from "./hub-settings.ts";

/** What this name means on the Hub; undefined when something lies at this path, or it can only be a path. */
export function asHubId(name: string): HubId | undefined {
  return existsSync(name) ? undefined : parseHubId(name);
}

/**
 * A model or an adapter of the Hugging Face Hub: `owner/name`, `owner/name@revision`, `owner/name:Q4_K_M`. Files come when
 * they are opened first, into the cache that Python's huggingface_hub uses too.
 * @throws ShapeError for anything else, or when there is no such model or no access
 */
export async function openHub(id: string, options: HubOptions = {}): Promise<SourceFolder> {
  const parsed = parseHubId(id);
  if (!parsed) throw new ShapeError("openHub", "id", { expected: "owner/name, with @revision or :file.gguf if need be", got: id });
  const { openHubFolder } = await import("./hub-folder.ts");
  return openHubFolder(parsed, options);
}

/** A path or, where nothing lies at it, a Hub id. */
export async function openPathOrHub(name: string, options?: HubOptions): Promise<SourceFolder> {
  return asHubId(name) ? openHub(name, options) : openSource(name);
}
