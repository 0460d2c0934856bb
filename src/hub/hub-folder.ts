import { DeviceError, FormatError, ShapeError } from "../errors.ts";
import { httpFolder } from "../io/http.ts";
import { systemError } from "../io/node-errors.ts";
import { openSource } from "../io/node.ts";
import type { ByteSource, SourceFolder } from "../io/types.ts";
import { RepoCache } from "./hub-cache.ts";
import { HubClient, type Listing } from "./hub-client.ts";
import { download } from "./hub-download.ts";
import type { HubId } from "./hub-id.ts";
import { hubSettings, type HubOptions } from "./hub-settings.ts";

/**
 * The top folder of a repository. A file is downloaded into the cache when it is opened first, so only what is needed comes.
 * @throws ShapeError when there is no such model or no access, DeviceError when the Hub cannot be reached and the cache has nothing
 */
export async function openHubFolder(id: HubId, options: HubOptions): Promise<SourceFolder> {
  const settings = await hubSettings(options);
  const cache = new RepoCache(settings.cacheDir, id.repo);
  const client = new HubClient(id, settings, options);
  if (settings.offline) return cachedFolder(id, cache, "the Hub is not asked (HF_HUB_OFFLINE)");
  let listing;
  try {
    listing = await client.list();
  } catch (error) {
    const asked = error instanceof DeviceError || error instanceof ShapeError; // and not answered, or refused
    if (!asked || !(await snapshotOf(id, cache))) throw error;
    options.onFallback?.(error.message.split("\n")[0]);
    return cachedFolder(id, cache, "the Hub could not be asked");
  }
  return remoteFolder(id, cache, client, listing, options);
}

const SHA256 = 64; // hexadecimal digits: a file in LFS, large. Others come whole

async function remoteFolder(id: HubId, cache: RepoCache, client: HubClient, { sha, files }: Listing, options: HubOptions): Promise<SourceFolder> {
  const names = chosen(id, [...files.keys()]);
  const { download: whole = true, signal, onDownload } = options;
  const inParts = httpFolder(client.address(sha), { headers: client.headers, signal, ...(options.fetch && { fetch: options.fetch }) });
  const bring = async (file: string): Promise<SourceFolder> => {
    const remote = files.get(file)!;
    if (!(await cache.has(sha, file, remote.size))) {
      if (!(await cache.hasBlob(remote.etag, remote.size))) {
        if (!whole && remote.etag.length === SHA256) return inParts;
        await download({
          name: `${id.repo}/${file}`, file: remote, path: cache.blob(remote.etag), signal,
          request: (begin) => client.file(sha, file, begin), unreachable: (cause) => client.unreachable(cause),
          onBytes: (done) => onDownload?.({ file, done, total: remote.size }),
        });
      }
      await cache.link(sha, file, remote.etag);
    }
    await cache.remember(id.revision, sha);
    return openSource(cache.snapshot(sha));
  };
  return folder(id, names, once((file) => bring(file).catch((cause: unknown) => {
    signal?.throwIfAborted();
    throw systemError(`${id.repo}/${file}`, cause); // a cache that may not be written, for one
  })));
}

async function cachedFolder(id: HubId, cache: RepoCache, why: string): Promise<SourceFolder> {
  const sha = await snapshotOf(id, cache);
  if (sha === undefined) throw new ShapeError(id.repo, `no such folder here, not in the cache, and ${why}`, { hint: "download it once while online" });
  const local = await openSource(cache.snapshot(sha));
  return folder(id, chosen(id, await local.list()), async () => local, "it is not in the cache: download it once while online");
}

async function snapshotOf({ revision }: HubId, cache: RepoCache): Promise<string | undefined> {
  const sha = await cache.commitOf(revision);
  return sha !== undefined && (await cache.files(sha)).length > 0 ? sha : undefined;
}

/** Named after the repository, as PEFT wants the base of an adapter to be. */
function folder({ repo }: HubId, names: readonly string[], bring: (file: string) => Promise<SourceFolder>, hint?: string): SourceFolder {
  const place = (file: string): Promise<SourceFolder> => {
    if (!names.includes(file)) throw new FormatError(`${repo}/${file}`, "no such file", { ...(hint && { hint }) });
    return bring(file);
  };
  return {
    name: repo,
    list: async () => [...names],
    has: async (file) => names.includes(file),
    open: async (file): Promise<ByteSource> => (await place(file)).open(file),
    readText: async (file) => (await place(file)).readText(file),
  };
}

function once<T>(work: (key: string) => Promise<T>): (key: string) => Promise<T> {
  const begun = new Map<string, Promise<T>>();
  return (key) => {
    const running = begun.get(key) ?? work(key);
    begun.set(key, running);
    running.catch(() => begun.delete(key));
    return running;
  };
}

/** Files of the model that the id means: all, or one GGUF file. @throws ShapeError when it is not clear which. */
function chosen({ repo, gguf }: HubId, names: readonly string[]): readonly string[] {
  const all = names.filter((name) => name.endsWith(".gguf"));
  if (gguf === undefined) {
    if (all.length < 2 || names.includes("config.json")) return names;
    throw new ShapeError(repo, "which of its GGUF files", { expected: `${repo}:${all[0]}`, got: "none named", hint: `it has ${all.join(", ")}` });
  }
  const ending = gguf.toLowerCase().replace(/(\.gguf)?$/, ".gguf");
  const found = all.filter((name) => name === gguf || (name.toLowerCase().endsWith(ending) && /[-._]/.test(name[name.length - ending.length - 1] ?? "")));
  if (found.length === 1) return found;
  throw new ShapeError(`${repo}:${gguf}`, "GGUF file", { expected: all.length ? `one of ${all.join(", ")}` : "a model with .gguf files", got: found.length ? found.join(", ") : "no such file" });
}
