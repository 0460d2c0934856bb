import { FormatError } from "../errors.ts";
import { checksum, type Page } from "./page.ts";

export interface StoreStats {
  /** Bytes of pages kept in host memory, and of the buffer that pages are read into. */
  readonly hostBytes: number;
  /** Bytes read from files. */
  readonly bytesRead: number;
}

type Bytes = Uint8Array<ArrayBuffer>;

/**
 * The two lower tiers: host memory for the first pages that fit into it, and for the others the files they came from.
 * One page is read ahead, into the one buffer there is for that.
 */
export class PageStore {
  readonly #pages: readonly Page[];
  readonly #kept: (Bytes | undefined)[];
  readonly #checksums: (number | undefined)[];
  readonly #staging: Bytes;
  #left: number;
  #ahead: { readonly page: number; readonly done: Promise<void>; ready: boolean } | undefined;
  #bytesRead = 0;

  /** @param hostMemory bytes for pages that are kept; others are read anew each time they are needed. */
  constructor(pages: readonly Page[], hostMemory: number) {
    this.#pages = pages;
    this.#kept = pages.map(({ host }) => host);
    this.#checksums = pages.map(() => undefined);
    const fromFiles = pages.filter(({ host }) => !host);
    const sum = (some: readonly Page[]): number => some.reduce((bytes, page) => bytes + page.bytes, 0);
    const left = hostMemory - (sum(pages) - sum(fromFiles));
    const keepsAll = sum(fromFiles) <= left;
    this.#staging = new Uint8Array(keepsAll ? 0 : Math.max(...fromFiles.map(({ bytes }) => bytes)));
    this.#left = keepsAll ? left : left - this.#staging.length;
  }

  get stats(): StoreStats {
    const kept = this.#kept.reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0);
    return { hostBytes: kept + this.#staging.length, bytesRead: this.#bytesRead };
  }

  kept(page: number): Bytes | undefined {
    return this.#kept[page];
  }

  /** Whether `bytes` would not have to wait for a file. */
  ready(page: number): boolean {
    return this.#kept[page] !== undefined || (this.#ahead?.page === page && this.#ahead.ready);
  }

  /** The bytes of a page, good until the next call. @throws FormatError when the file has changed. */
  async bytes(page: number): Promise<Bytes> {
    const kept = this.#kept[page];
    if (kept) return kept;
    if (this.#ahead?.page !== page) {
      await this.#ahead?.done.catch(() => undefined); // it was for another plan: only its buffer is wanted
      this.prefetch(page);
    }
    const { done } = this.#ahead!;
    this.#ahead = undefined;
    await done;
    return this.#kept[page] ?? this.#staging.subarray(0, this.#pages[page].bytes);
  }

  /** Begins to read a page that will be asked for next. */
  prefetch(page: number): void {
    if (this.#kept[page] || this.#ahead?.page === page) return;
    const before = this.#ahead?.done.catch(() => undefined);
    const entry = { page, ready: false, done: Promise.resolve(before).then(() => this.#read(page)).then(() => { entry.ready = true; }) };
    entry.done.catch(() => undefined); // told to whoever asks for the page
    this.#ahead = entry;
  }

  async #read(page: number): Promise<void> {
    const { name, bytes: length } = this.#pages[page];
    const keep = length <= this.#left;
    const target = keep ? new Uint8Array(length) : this.#staging.subarray(0, length);
    await this.#pages[page].read(target);
    this.#bytesRead += length;
    if (keep) {
      this.#left -= length;
      this.#kept[page] = target;
      return;
    }
    const sum = checksum(target);
    const known = this.#checksums[page] ??= sum;
    if (sum !== known) throw new FormatError(name, "checksum of a page that was read again", { expected: known, got: sum, hint: "the model's file has changed while it was in use" });
  }

  /** Waits for what is being read: files may be closed afterwards. */
  async close(): Promise<void> {
    await this.#ahead?.done.catch(() => undefined);
  }
}
