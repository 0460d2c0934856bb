import { FormatError, ShapeError } from "../errors.ts";
import { checkFileName } from "./file-name.ts";
import type { ByteSink, ByteSource, SinkFolder, SourceFolder } from "./types.ts";

/** @throws FormatError when the range leaves the source. */
export function checkRange({ name, size }: Pick<ByteSource, "name" | "size">, offset: number, length: number): void {
  if (!Number.isSafeInteger(offset) || !Number.isSafeInteger(length) || offset < 0 || length < 0 || offset + length > size) {
    throw new FormatError(name, "read past the end", { expected: `a range within ${size} bytes`, got: `${length} bytes from ${offset}` });
  }
}

/** A byte source over bytes that are already in memory. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return {
    name,
    size: bytes.length,
    async read(offset, length) {
      checkRange({ name, size: bytes.length }, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length));
    },
    async close() {},
  };
}

/** A byte source over a Blob or a File, which stays where it is: only what is read comes into memory. */
export function blobSource(name: string, blob: Blob): ByteSource {
  return {
    name,
    size: blob.size,
    async read(offset, length) {
      checkRange({ name, size: blob.size }, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new FormatError(name, "cannot be read", { got: cause instanceof Error ? cause.message : cause, hint: "the file changed or moved since it was chosen: choose it again", cause });
      }
    },
    async close() {},
  };
}

/** A folder over a map of files; text is stored as UTF-8. */
export function memoryFolder(name: string, files: Iterable<readonly [string, Uint8Array | string | Blob]>): SourceFolder {
  const entries = new Map([...files].map(([file, content]) => [file, typeof content === "string" ? new TextEncoder().encode(content) : content]));
  const find = (file: string): Uint8Array | Blob => {
    const bytes = entries.get(file);
    if (!bytes) throw new FormatError(`${name}/${file}`, "no such file");
    return bytes;
  };
  return {
    name,
    list: async () => [...entries.keys()].sort(),
    has: async (file) => entries.has(file),
    open: async (file) => {
      const content = find(file);
      return content instanceof Blob ? blobSource(`${name}/${file}`, content) : memorySource(`${name}/${file}`, content);
    },
    readText: async (file) => {
      const content = find(file);
      return decodeText(`${name}/${file}`, content instanceof Blob ? new Uint8Array(await content.arrayBuffer()) : content);
    },
  };
}

/** @throws FormatError when the bytes are not UTF-8. */
export function decodeText(where: string, bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new FormatError(where, "text", { expected: "UTF-8", got: "other bytes", cause });
  }
}

/** A folder that is written into memory; `files` is empty until `commit`. */
export class MemorySink implements SinkFolder {
  readonly name: string;
  readonly files = new Map<string, Uint8Array<ArrayBuffer>>();
  #pending = new Map<string, GrowingBytes>();

  constructor(name = "memory") {
    this.name = name;
  }

  async create(file: string): Promise<ByteSink> {
    checkFileName(this.name, file);
    if (this.#pending.has(file)) throw new ShapeError(`${this.name}/${file}`, "created twice");
    const content = new GrowingBytes();
    this.#pending.set(file, content);
    return { name: `${this.name}/${file}`, write: async (offset, bytes) => content.write(offset, bytes), close: async () => {} };
  }

  async writeText(file: string, text: string): Promise<void> {
    await (await this.create(file)).write(0, new TextEncoder().encode(text));
  }

  async commit(): Promise<void> {
    for (const [file, content] of this.#pending) this.files.set(file, content.bytes());
    this.#pending.clear();
  }

  async discard(): Promise<void> {
    this.#pending.clear();
  }

  /** The committed files as something to read. */
  source(): SourceFolder {
    return memoryFolder(this.name, this.files);
  }
}

class GrowingBytes {
  #buffer = new Uint8Array(256);
  #size = 0;

  write(offset: number, bytes: Uint8Array): void {
    const end = offset + bytes.length;
    if (end > this.#buffer.length) {
      const grown = new Uint8Array(Math.max(end, 2 * this.#buffer.length));
      grown.set(this.#buffer);
      this.#buffer = grown;
    }
    this.#buffer.set(bytes, offset);
    this.#size = Math.max(this.#size, end);
  }

  bytes(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#size);
  }
}
