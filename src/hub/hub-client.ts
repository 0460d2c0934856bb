import { DeviceError, FormatError, NibbleError, ShapeError } from "../errors.ts";
import { isFileName } from "../io/file-name.ts";
import type { HubId } from "./hub-id.ts";
import type { HubOptions, HubSettings } from "./hub-settings.ts";

/** A file of a repository. `etag` is its SHA-256 or, of a small file, git's hash of it: it proves the bytes, and the cache names them by it. */
export interface RemoteFile {
  readonly size: number;
  readonly etag: string;
}

export interface Listing {
  /** Of the commit. */
  readonly sha: string;
  /** Of the top folder. */
  readonly files: ReadonlyMap<string, RemoteFile>;
}

const PATIENCE_MS = 10_000; // for the list of files, which the cache can replace

/** Asks the Hub about one repository. Errors say what its answers mean to the user. */
export class HubClient {
  readonly #id: HubId;
  readonly #settings: HubSettings;
  readonly #options: Pick<HubOptions, "fetch" | "signal">;

  constructor(id: HubId, settings: HubSettings, options: Pick<HubOptions, "fetch" | "signal">) {
    this.#id = id;
    this.#settings = settings;
    this.#options = options;
  }

  /** The token goes to the Hub alone: a redirect to another host loses it. */
  get headers(): Record<string, string> {
    const { token } = this.#settings;
    return token ? { authorization: `Bearer ${token}` } : {};
  }

  /** @throws NibbleError when the Hub cannot be reached or refuses. */
  async list(): Promise<Listing> {
    const { repo, revision } = this.#id;
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const { signal } = this.#options;
    const url = `${this.#settings.endpoint}/api/models/${repo}/revision/${encodeURIComponent(revision)}?blobs=true`;
    const response = await this.#get(url, {}, signal ? AbortSignal.any([signal, patience]) : patience);
    return listingOf(repo, await response.json().catch((cause: unknown) => { throw new FormatError(repo, "the Hub's list of files", { expected: "JSON", got: response.headers.get("content-type"), cause }); }));
  }

  /** Where files of a commit are. */
  address(sha: string): URL {
    return new URL(`${this.#settings.endpoint}/${this.#id.repo}/resolve/${sha}/`);
  }

  /** The bytes of a file from `begin` on. */
  file(sha: string, file: string, begin: number): Promise<Response> {
    const range: Record<string, string> = begin > 0 ? { range: `bytes=${begin}-` } : {};
    return this.#get(new URL(encodeURIComponent(file), this.address(sha)).href, { "accept-encoding": "identity", ...range }, this.#options.signal);
  }

  async #get(url: string, headers: Record<string, string>, signal: AbortSignal | undefined): Promise<Response> {
    const { fetch: get = fetch } = this.#options;
    let response;
    try {
      response = await get(url, { headers: { ...this.headers, ...headers }, ...(signal && { signal }) });
    } catch (cause) {
      this.#options.signal?.throwIfAborted();
      throw this.unreachable(cause);
    }
    if (response.ok) return response;
    await response.body?.cancel();
    throw this.#refusal(response);
  }

  unreachable(cause: unknown): DeviceError {
    const { endpoint } = this.#settings;
    const { message, cause: inner } = cause as Error & { cause?: { code?: string; message?: string } };
    return new DeviceError(this.#id.repo, `cannot reach ${endpoint}`, { got: inner?.code ?? inner?.message ?? message, hint: "is this computer online? A folder of this name would be found first, and what was downloaded once works offline", cause });
  }

  #refusal({ status, headers }: Response): NibbleError {
    const { repo, revision } = this.#id;
    const { endpoint, token } = this.#settings;
    const code = headers.get("x-error-code");
    const got = `HTTP ${status}`;
    if (code === "RevisionNotFound") return new ShapeError(repo, "no such revision", { got: revision, hint: `its branches are listed at ${endpoint}/${repo}/tree/main` });
    if (code === "GatedRepo") return new ShapeError(repo, "access must be granted first", { got, hint: `accept the terms at ${endpoint}/${repo}, then set HF_TOKEN to a token of that account` });
    if (status === 401 || status === 404) {
      return new ShapeError(repo, "no such folder here, and no such model on the Hub, or a private one", { got, hint: token ? "check the name; the token in use may belong to an account without access" : "check the name; for a private model set HF_TOKEN" });
    }
    if (status === 403) return new ShapeError(repo, "the Hub refuses access", { got, hint: "the token in use may not read this model" });
    return new DeviceError(repo, "the Hub cannot answer now", { got, hint: status === 429 ? "too many requests: try again in some minutes, or set HF_TOKEN" : "try again later" });
  }
}

const ETAG = /^([0-9a-f]{40}|[0-9a-f]{64})$/;

/** @throws FormatError unless it is what the Hub's documentation says: names and hashes become paths. */
function listingOf(repo: string, json: unknown): Listing {
  const { sha, siblings } = (json ?? {}) as { sha?: unknown; siblings?: unknown };
  if (typeof sha !== "string" || !/^[0-9a-f]{40}$/.test(sha) || !Array.isArray(siblings)) throw new FormatError(repo, "the Hub's list of files", { expected: "sha and siblings", got: JSON.stringify(json)?.slice(0, 80) });
  const files = new Map<string, RemoteFile>();
  for (const { rfilename, size, blobId, lfs } of siblings as readonly Record<string, unknown>[]) {
    if (typeof rfilename !== "string" || !isFileName(rfilename)) continue; // in a folder below
    const etag = (lfs as { sha256?: unknown } | undefined)?.sha256 ?? blobId;
    if (typeof etag !== "string" || !ETAG.test(etag) || !Number.isSafeInteger(size) || (size as number) < 0) {
      throw new FormatError(`${repo}/${rfilename}`, "the Hub's entry", { expected: "size and hash", got: `${String(size)} and ${String(etag)}` });
    }
    files.set(rfilename, { size: size as number, etag });
  }
  return { sha, files };
}
