import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Where models come from and where they are kept; what is left out is taken from the environment, by huggingface_hub's names. */
export interface HubOptions {
  /** Default: `HF_ENDPOINT`, or the Hub. */
  readonly endpoint?: string;
  /** For private and gated models. Default: `HF_TOKEN`, or what `hf auth login` has stored. */
  readonly token?: string;
  /** Default: `HF_HUB_CACHE`, or `hub` in `HF_HOME`. Python's huggingface_hub uses the same folder. */
  readonly cacheDir?: string;
  /** Ask nobody, take what is in the cache. Default: `HF_HUB_OFFLINE`. */
  readonly offline?: boolean;
  /** False reads files in parts where they are: enough for headers. What the cache has is read from there. */
  readonly download?: boolean;
  readonly fetch?: typeof fetch;
  readonly signal?: AbortSignal | undefined;
  readonly onDownload?: (event: { readonly file: string; readonly done: number; readonly total: number }) => void;
  /** Hears why the cache is used though the Hub was asked. */
  readonly onFallback?: (reason: string) => void;
}

export interface HubSettings {
  readonly endpoint: string;
  readonly token: string | undefined;
  readonly cacheDir: string;
  readonly offline: boolean;
}

const HUB = "https://huggingface.co";

export async function hubSettings({ endpoint, token, cacheDir, offline }: HubOptions, env: NodeJS.ProcessEnv = process.env): Promise<HubSettings> {
  const home = expanded(env["HF_HOME"] || join(env["XDG_CACHE_HOME"] || "~/.cache", "huggingface"));
  return {
    endpoint: (endpoint ?? (env["HF_ENDPOINT"] || HUB)).replace(/\/+$/, ""),
    token: token ?? (env["HF_TOKEN"]?.trim() || (await stored(expanded(env["HF_TOKEN_PATH"] || join(home, "token"))))),
    cacheDir: cacheDir ?? expanded(env["HF_HUB_CACHE"] || env["HUGGINGFACE_HUB_CACHE"] || join(home, "hub")),
    offline: offline ?? /^(1|on|yes|true)$/i.test(env["HF_HUB_OFFLINE"] || env["TRANSFORMERS_OFFLINE"] || ""),
  };
}

function expanded(path: string): string {
  return path.replace(/^~(?=[/\\]|$)/, homedir());
}

async function stored(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim() || undefined;
  } catch {
    return undefined; // nobody has logged in here
  }
}
