import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface FakeRepo {
  readonly files: Readonly<Record<string, Uint8Array>>;
  /** Who may read it; without a token everybody may. */
  readonly token?: string;
  /** Terms that nobody has accepted. */
  readonly gated?: boolean;
}

const LARGE = /\.(safetensors|gguf)$/; // in LFS, on another host

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
export const gitHash = (bytes: Uint8Array): string => createHash("sha1").update(`blob ${bytes.length}\0`).update(bytes).digest("hex");

/** Answers as the Hugging Face Hub documents it: the API's list of files, `resolve` with its headers, large files by redirect to another host. */
export class FakeHub {
  readonly repos = new Map<string, FakeRepo>();
  /** `METHOD path range`, and who asked with a token at which host. */
  readonly requests: { readonly host: "hub" | "cdn"; readonly line: string; readonly token: string | undefined }[] = [];
  /** Changes an answer of the CDN: how many bytes to send before the connection breaks. */
  breakAfter: (() => number | undefined) | undefined;
  /** Changes what is listed of a file. */
  lie: ((entry: Record<string, unknown>) => Record<string, unknown>) | undefined;
  ignoresRanges = false;
  /** Answers that every request gets. */
  down: number | undefined;
  #hub!: Server;
  #cdn!: Server;

  static async start(port = 0): Promise<FakeHub> {
    const fake = new FakeHub();
    fake.#hub = await listening((request, response) => fake.#answer(request, response), port);
    fake.#cdn = await listening((request, response) => fake.#deliver(request, response), 0);
    return fake;
  }

  get url(): string {
    return urlOf(this.#hub);
  }

  async close(): Promise<void> {
    for (const server of [this.#hub, this.#cdn]) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /** Of the only commit there is of these files. */
  commitOf(name: string): string {
    return createHash("sha1").update(Object.entries(this.repos.get(name)!.files).map(([file, bytes]) => file + sha256(bytes)).join()).digest("hex");
  }

  #note(host: "hub" | "cdn", { method, url, headers }: IncomingMessage): void {
    this.requests.push({ host, line: [method, url, headers.range].filter(Boolean).join(" "), token: headers.authorization });
  }

  #answer(request: IncomingMessage, response: ServerResponse): void {
    this.#note("hub", request);
    const path = decodeURIComponent(new URL(request.url!, "http://hub").pathname);
    const [, name, what, revision, file] = /^\/(?:api\/models\/)?([^/]+\/[^/]+)\/(revision|resolve|tree)\/([^/]+|refs\/pr\/\d+)(?:\/([^/]+))?$/.exec(path) ?? [];
    const repo = this.repos.get(name);
    const fail = (status: number, code: string): void => void response.writeHead(status, { "x-error-code": code, "x-error-message": code }).end();
    if (this.down !== undefined) return fail(this.down, "Down");
    if (!repo || (repo.token && request.headers.authorization !== `Bearer ${repo.token}`)) return fail(401, "RepoNotFound");
    if (repo.gated) return fail(403, "GatedRepo");
    const sha = this.commitOf(name);
    if (revision !== "main" && revision !== sha) return fail(404, "RevisionNotFound");
    response.setHeader("x-repo-commit", sha);
    if (what === "revision") return json(response, { id: name, sha, siblings: Object.entries(repo.files).map(([rfilename, bytes]) => this.#entry(rfilename, bytes)) });
    if (what === "tree") return json(response, Object.entries(repo.files).map(([path, bytes]) => treeEntry(path, bytes)));
    const bytes = repo.files[file];
    if (!bytes) return fail(404, "EntryNotFound");
    if (!LARGE.test(file)) return send(request, response, bytes, `"${gitHash(bytes)}"`);
    response.writeHead(302, { location: `${urlOf(this.#cdn)}/${name}/${encodeURIComponent(file)}?signed=1`, "x-linked-size": bytes.length, "x-linked-etag": `"${sha256(bytes)}"` }).end();
  }

  #deliver(request: IncomingMessage, response: ServerResponse): void {
    this.#note("cdn", request);
    const [, name, file] = /^\/([^/]+\/[^/]+)\/([^/?]+)/.exec(request.url!)!;
    const bytes = this.repos.get(name)!.files[decodeURIComponent(file)];
    if (this.ignoresRanges) delete request.headers.range;
    send(request, response, bytes, `"${sha256(bytes)}"`, this.breakAfter?.());
  }

  #entry(rfilename: string, bytes: Uint8Array): Record<string, unknown> {
    const lfs = LARGE.test(rfilename) ? { lfs: { size: bytes.length, sha256: sha256(bytes), pointerSize: 134 } } : {};
    const entry = { rfilename, size: bytes.length, blobId: gitHash(bytes), ...lfs };
    return this.lie ? this.lie(entry) : entry;
  }
}

function treeEntry(path: string, bytes: Uint8Array): Record<string, unknown> {
  const lfs = LARGE.test(path) ? { lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } } : {};
  return { type: "file", path, size: bytes.length, oid: gitHash(bytes), ...lfs };
}

function json(response: ServerResponse, value: unknown): void {
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
}

function send({ method, headers }: IncomingMessage, response: ServerResponse, bytes: Uint8Array, etag: string, breakAfter?: number): void {
  const [, from, to] = /^bytes=(\d+)-(\d*)$/.exec(headers.range ?? "") ?? [];
  const begin = Number(from ?? 0), end = Math.min(bytes.length, to ? Number(to) + 1 : bytes.length);
  const range = from === undefined ? {} : { "content-range": `bytes ${begin}-${end - 1}/${bytes.length}` };
  response.writeHead(from === undefined ? 200 : 206, { "content-length": end - begin, etag, "accept-ranges": "bytes", ...range });
  if (method === "HEAD") return void response.end();
  if (breakAfter === undefined) return void response.end(bytes.subarray(begin, end));
  response.write(bytes.subarray(begin, begin + breakAfter), () => setTimeout(() => response.destroy(), 10));
}

async function listening(answer: (request: IncomingMessage, response: ServerResponse) => void, port: number): Promise<Server> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve));
  return server;
}

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
