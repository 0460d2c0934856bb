import { constants } from "node:fs";
import { open, readdir, readFile, stat, type FileHandle } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { FormatError, ShapeError } from "../errors.ts";
import { checkFileName } from "./file-name.ts";
import { checkRange, decodeText } from "./memory.ts";
import { systemError } from "./node-errors.ts";
import type { ByteSource, SourceFolder } from "./types.ts";

export { createSink, type SinkOptions } from "./node-sink.ts";

/**
 * A folder or a single file as a source.
 * @throws ShapeError when there is nothing at this path.
 */
export async function openSource(path: string): Promise<SourceFolder> {
  let info;
  try {
    info = await stat(path);
  } catch (cause) {
    throw systemError(path, cause);
  }
  if (info.isDirectory()) return new NodeFolder(path, path);
  if (info.isFile()) return new NodeFolder(path, dirname(path), basename(path));
  throw new ShapeError(path, "kind of file", { expected: "a folder or a regular file", got: "something else" });
}

class NodeFolder implements SourceFolder {
  readonly name: string;
  readonly #folder: string;
  readonly #only: string | undefined;

  constructor(name: string, folder: string, only?: string) {
    this.name = name;
    this.#folder = folder;
    this.#only = only;
  }

  async list(): Promise<string[]> {
    if (this.#only !== undefined) return [this.#only];
    try {
      const names = (await readdir(this.#folder)).sort();
      // Followed, not lstat: the Hub's cache is made of symbolic links.
      const files = await Promise.all(names.map((file) => isFile(join(this.#folder, file))));
      return names.filter((_, i) => files[i]);
    } catch (cause) {
      throw systemError(this.name, cause);
    }
  }

  async has(file: string): Promise<boolean> {
    checkFileName(this.name, file);
    return (this.#only === undefined || this.#only === file) && isFile(join(this.#folder, file));
  }

  async open(file: string): Promise<ByteSource> {
    const path = await this.#pathOf(file);
    try {
      const handle = await open(path, constants.O_RDONLY);
      return new NodeSource(path, (await handle.stat()).size, handle);
    } catch (cause) {
      throw systemError(path, cause);
    }
  }

  async readText(file: string): Promise<string> {
    const path = await this.#pathOf(file);
    try {
      return decodeText(path, await readFile(path));
    } catch (cause) {
      throw systemError(path, cause);
    }
  }

  async #pathOf(file: string): Promise<string> {
    const path = join(this.#folder, file);
    if (!(await this.has(file))) throw new FormatError(path, "no such file");
    return path;
  }
}

async function isFile(path: string): Promise<boolean> {
  try {
    return (await stat(path)).isFile();
  } catch {
    return false;
  }
}

/** One pread of Linux moves 2 GiB at most. */
const MAX_READ = 2 ** 30;

class NodeSource implements ByteSource {
  readonly name: string;
  readonly size: number;
  readonly #handle: FileHandle;

  constructor(name: string, size: number, handle: FileHandle) {
    this.name = name;
    this.size = size;
    this.#handle = handle;
  }

  async read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    checkRange(this, offset, length);
    const bytes = into ?? new Uint8Array(length);
    for (let done = 0; done < length;) {
      let count;
      try {
        count = (await this.#handle.read(bytes, done, Math.min(length - done, MAX_READ), offset + done)).bytesRead;
      } catch (cause) {
        throw systemError(this.name, cause);
      }
      if (count === 0) throw new FormatError(this.name, "file became shorter while it was read", { expected: `${this.size} bytes`, got: offset + done });
      done += count;
    }
    return bytes;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}
