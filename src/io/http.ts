import { FormatError } from "../errors.ts";
import { checkFileName } from "./file-name.ts";
import { checkRange, decodeText } from "./memory.ts";
import type { ByteSource, SourceFolder } from "./types.ts";

export interface HttpOptions {
  /** Default: the runtime's own. */
  readonly fetch?: typeof fetch;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal | undefined;
}

/** Files of a web server that answers range requests, as the Hub, object stores and most static servers do. */
export function httpFolder(url: URL, options: HttpOptions = {}): SourceFolder {
  const single = /\.(gguf|safetensors)$/.test(url.pathname);
  const cut = url.pathname.lastIndexOf("/") + 1;
  const only = single ? decodeURIComponent(url.pathname.slice(cut)) : undefined;
  const base = new URL(single || url.pathname.endsWith("/") ? url : `${url.origin}${url.pathname}/${url.search}`);
  const name = url.href;
  const place = (file: string): URL => {
    checkFileName(name, file);
    const target = new URL(encodeURIComponent(file), base);
    target.search = url.search; // tokens of signed addresses
    return target;
  };
  const found = new Map<string, Promise<HttpSource | undefined>>(); // what `has` has asked, `open` need not ask again
  const find = (file: string): Promise<HttpSource | undefined> => {
    if (only !== undefined && only !== file) return Promise.resolve(undefined);
    const asked = found.get(file) ?? HttpSource.open(place(file), options);
    found.set(file, asked);
    asked.catch(() => found.delete(file));
    return asked;
  };
  const open = async (file: string): Promise<ByteSource> => {
    const source = await find(file);
    if (!source) throw new FormatError(`${name}/${file}`, "no such file");
    return source;
  };
  return {
    name, open,
    /** A web server does not say what it has: of a folder, what a model may consist of is asked for by name. */
    async list() {
      if (only !== undefined) return [only];
      const there = await Promise.all(LISTED.map(async (file) => ((await find(file)) ? [file] : [])));
      return there.flat();
    },
    has: async (file) => (await find(file)) !== undefined,
    async readText(file) {
      const source = await open(file);
      return decodeText(source.name, await source.read(0, source.size));
    },
  };
}

const LISTED = ["config.json", "model.safetensors", "model.safetensors.index.json", "adapter_config.json", "adapter_model.safetensors", "trainer_state.json"];

/** Bytes asked for at least: a header and its tables come in one answer instead of in many. */
const PAGE = 2 ** 16;
const PAGES = 16;
/** Of a body, read at a time. */
const PIECE = 2 ** 16;

class HttpSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #url: URL;
  readonly #options: HttpOptions;
  readonly #etag: string | null;
  readonly #pages = new Map<number, Uint8Array<ArrayBuffer>>();
  #piece: ArrayBuffer | undefined; // lent to whoever reads

  private constructor(url: URL, options: HttpOptions, size: number, etag: string | null) {
    this.name = url.href;
    this.size = size;
    this.#url = url;
    this.#options = options;
    this.#etag = etag;
  }

  /** @returns undefined when there is no such file. @throws FormatError for any other answer than the first page. */
  static async open(url: URL, options: HttpOptions): Promise<HttpSource | undefined> {
    const response = await request(url, options, 0, PAGE);
    if (response.status === 404 || response.status === 403 || response.status === 410) {
      await response.body?.cancel();
      return undefined;
    }
    if (response.status === 416) { // an empty file has no first byte
      await response.body?.cancel();
      return new HttpSource(url, options, 0, null);
    }
    const range = await contentRange(url, response, 0);
    const source = new HttpSource(url, options, range.size, response.headers.get("etag"));
    source.#pages.set(0, await source.#body(response, new Uint8Array(range.end)));
    return source;
  }

  async read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this, offset, length);
    if (length === 0) return new Uint8Array();
    const page = Math.floor(offset / PAGE);
    if (Math.floor((offset + length - 1) / PAGE) !== page) return this.#fetch(offset, offset + length, into);
    const bytes = this.#pages.get(page) ?? (await this.#fetchPage(page * PAGE));
    this.#pages.delete(page); // the last to be used is the last to go
    this.#pages.set(page, bytes);
    return bytes.slice(offset - page * PAGE, offset - page * PAGE + length);
  }

  /** Into the memory of the oldest page when there are enough. */
  #fetchPage(begin: number): Promise<Uint8Array<ArrayBuffer>> {
    const end = Math.min(this.size, begin + PAGE);
    if (this.#pages.size < PAGES) return this.#fetch(begin, end);
    const [[oldest, bytes]] = this.#pages;
    this.#pages.delete(oldest);
    return this.#fetch(begin, end, bytes.length === end - begin ? bytes : undefined);
  }

  async #fetch(begin: number, end: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const response = await request(this.#url, this.#options, begin, end);
    const etag = response.headers.get("etag");
    const range = await contentRange(this.#url, response, begin);
    if (range.size !== this.size || etag !== this.#etag) {
      await response.body?.cancel();
      throw new FormatError(this.name, "file changed while it was read", { expected: `${this.size} bytes, etag ${this.#etag}`, got: `${range.size} bytes, etag ${etag}` });
    }
    return this.#body(response, into ?? new Uint8Array(end - begin));
  }

  /** Piece by piece through one buffer: an answer taken whole is a copy more, and on an edge runtime garbage for long. */
  async #body(response: Response, into: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    const lent = this.#piece ?? new ArrayBuffer(PIECE);
    this.#piece = undefined;
    const { length, piece } = await fill(into, response.body!, lent);
    this.#piece = piece;
    if (length !== into.length) throw new FormatError(this.name, "bytes of a range", { expected: into.length, got: length });
    return into;
  }

  async close(): Promise<void> {
    this.#pages.clear();
  }
}

function request(url: URL, { fetch: get = fetch, headers, signal }: HttpOptions, begin: number, end: number): Promise<Response> {
  return get(url, { headers: { ...headers, range: `bytes=${begin}-${end - 1}` }, ...(signal ? { signal } : {}) });
}

/** @throws FormatError when the answer is not the range that was asked for. */
async function contentRange(url: URL, response: Response, begin: number): Promise<{ end: number; size: number }> {
  const [, from, to, size] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(response.headers.get("content-range") ?? "") ?? [];
  if (response.status === 206 && Number(from) === begin && Number(to) < Number(size)) return { end: Number(to) + 1, size: Number(size) };
  await response.body?.cancel();
  const hint = response.status === 200 ? "this server ignores range requests: download the file and give its bytes" : undefined;
  throw new FormatError(url.href, "answer to a range request", { expected: "206 Partial Content", got: `${response.status} ${response.statusText}`.trim(), ...(hint ? { hint } : {}) });
}

/** @returns how long the body is, which may be more than `into` takes, and the buffer to read the next one with. */
async function fill(into: Uint8Array, body: ReadableStream<Uint8Array<ArrayBuffer>>, piece: ArrayBuffer): Promise<{ length: number; piece: ArrayBuffer }> {
  const reader = pieceReader(body);
  for (let length = 0; ; ) {
    const { done, value } = reader instanceof ReadableStreamDefaultReader ? await reader.read() : await reader.read(new Uint8Array(piece));
    if (value && !(reader instanceof ReadableStreamDefaultReader)) piece = value.buffer;
    if (done) return { length, piece };
    if (length + value.length <= into.length) into.set(value, length);
    length += value.length;
  }
}

/** Where bodies are no streams of bytes, they hand over buffers of their own. */
function pieceReader(body: ReadableStream<Uint8Array<ArrayBuffer>>): ReadableStreamBYOBReader | ReadableStreamDefaultReader<Uint8Array<ArrayBuffer>> {
  try {
    return body.getReader({ mode: "byob" });
  } catch {
    return body.getReader();
  }
}
