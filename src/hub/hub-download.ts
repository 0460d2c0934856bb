import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { mkdir, open, rename, statfs, unlink, type FileHandle } from "node:fs/promises";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { DeviceError, FormatError, MemoryError, NibbleError } from "../errors.ts";
import { systemError } from "../io/node-errors.ts";
import type { RemoteFile } from "./hub-client.ts";

export interface Download {
  /** For messages. */
  readonly name: string;
  readonly file: RemoteFile;
  /** Where the file appears, whole and proven, or not at all. */
  readonly path: string;
  /** Its bytes from `begin` on; all of them with status 200. */
  readonly request: (begin: number) => Promise<Response>;
  readonly unreachable: (cause: unknown) => NibbleError;
  readonly onBytes?: (done: number) => void;
  readonly signal?: AbortSignal | undefined;
}

const TRIES = 5; // in a row without a byte more
const HASHED_AT_ONCE = 2 ** 22;

/**
 * Downloads one file. A connection that breaks is opened again where it broke; what a process leaves behind when it ends,
 * the next one goes on with. Bytes are written at their place, so two processes that load the same file do each other no harm.
 * @throws FormatError when the bytes are not those that the Hub lists, MemoryError when the disk is full
 */
export async function download(call: Download): Promise<void> {
  const partial = `${call.path}.incomplete`;
  try {
    await mkdir(dirname(call.path), { recursive: true });
    const handle = await open(partial, constants.O_RDWR | constants.O_CREAT);
    try {
      await new Transfer(call, handle, partial).run();
    } finally {
      await handle.close();
    }
    await rename(partial, call.path);
  } catch (error) {
    if (call.signal?.aborted) throw error;
    throw diskError(partial, error);
  }
}

class Transfer {
  readonly #call: Download;
  readonly #handle: FileHandle;
  readonly #partial: string;
  #hash!: Hash;
  #done = 0;

  constructor(call: Download, handle: FileHandle, partial: string) {
    this.#call = call;
    this.#handle = handle;
    this.#partial = partial;
  }

  async run(): Promise<void> {
    const { file: { size, etag }, name } = this.#call;
    await this.#takeUp();
    await this.#checkRoom();
    for (let idle = 0; this.#done < size; idle++) {
      const before = this.#done;
      const broken = await this.#receive();
      if (this.#done > before) idle = 0;
      if (broken === undefined) continue;
      if (idle >= TRIES) throw broken instanceof NibbleError ? broken : this.#call.unreachable(broken);
      await delay(250 * 2 ** idle, undefined, { ...(this.#call.signal && { signal: this.#call.signal }) });
    }
    const digest = this.#hash.digest("hex");
    if (digest !== etag) {
      await unlink(this.#partial);
      throw new FormatError(name, "downloaded bytes", { expected: `${etag.length === 64 ? "SHA-256" : "git hash"} ${etag}`, got: digest, hint: "they were damaged on the way and are deleted: try again" });
    }
    await this.#handle.sync();
  }

  /** Hashes what an earlier try has left; a file that cannot be the beginning of this one begins anew. */
  async #takeUp(): Promise<void> {
    const { size } = await this.#handle.stat();
    this.#begin();
    if (size > this.#call.file.size) return this.#handle.truncate(0);
    const buffer = Buffer.alloc(Math.min(size, HASHED_AT_ONCE));
    while (this.#done < size) {
      const { bytesRead } = await this.#handle.read(buffer, 0, Math.min(buffer.length, size - this.#done), this.#done);
      if (bytesRead === 0) break;
      this.#hash.update(buffer.subarray(0, bytesRead));
      this.#done += bytesRead;
    }
  }

  #begin(): void {
    const { size, etag } = this.#call.file;
    this.#done = 0;
    // Git hashes a file with its length before it.
    this.#hash = etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
  }

  async #checkRoom(): Promise<void> {
    const { bavail, bsize } = await statfs(this.#partial);
    const missing = this.#call.file.size - this.#done;
    if (missing > bavail * bsize) throw full(this.#call.name, `${missing} bytes free`, bavail * bsize);
  }

  /** @returns why it ended early, if it did. */
  async #receive(): Promise<unknown> {
    const { request, file, name, onBytes, signal } = this.#call;
    let response;
    try {
      response = await request(this.#done);
    } catch (cause) {
      if (cause instanceof DeviceError) return cause; // unreachable or too busy: perhaps for a moment
      throw cause;
    }
    const range = /^bytes (\d+)-/.exec(response.headers.get("content-range") ?? "")?.[1];
    if (response.status === 200 && this.#done > 0) this.#begin(); // it ignores ranges
    else if (response.status === 206 && Number(range) !== this.#done) throw new FormatError(name, "answer to a range request", { expected: `bytes from ${this.#done}`, got: range });
    const chunks = response.body![Symbol.asyncIterator]();
    for (;;) {
      let next;
      try {
        next = await chunks.next();
      } catch (cause) {
        signal?.throwIfAborted();
        return cause;
      }
      if (next.done && this.#done < file.size) throw new FormatError(name, "end of the file", { expected: `${file.size} bytes`, got: this.#done });
      if (next.done) return undefined;
      if (this.#done + next.value.length > file.size) throw new FormatError(name, "more bytes than listed", { expected: file.size, got: "more" });
      await this.#handle.write(next.value, 0, next.value.length, this.#done);
      this.#hash.update(next.value);
      onBytes?.(this.#done += next.value.length);
    }
  }
}

function full(where: string, expected: string, got: unknown, cause?: unknown): MemoryError {
  return new MemoryError(where, "no space left for the download", { expected, got, hint: "free some space, or set HF_HOME to a folder on another disk; what is there already is kept and will be gone on with", cause });
}

function diskError(path: string, error: unknown): NibbleError {
  const code = (error as NodeJS.ErrnoException).code;
  return code === "ENOSPC" || code === "EDQUOT" ? full(path, "room for the file", code, error) : systemError(path, error);
}
