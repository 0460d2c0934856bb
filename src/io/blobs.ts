import { FormatError } from "../errors.ts";
import { checkRange, decodeText } from "./memory.ts";
import type { ByteSource, SourceFolder } from "./types.ts";

/** Reads from a `Blob` or `File` the ranges that are asked for, and no more. */
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

/** Files that a person chose or dropped, as one folder. */
export function blobFolder(name: string, files: Iterable<readonly [string, Blob]>): SourceFolder {
  const entries = new Map(files);
  const find = (file: string): Blob => {
    const blob = entries.get(file);
    if (!blob) throw new FormatError(`${name}/${file}`, "no such file");
    return blob;
  };
  return {
    name,
    list: async () => [...entries.keys()].sort(),
    has: async (file) => entries.has(file),
    open: async (file) => blobSource(`${name}/${file}`, find(file)),
    readText: async (file) => decodeText(`${name}/${file}`, new Uint8Array(await find(file).arrayBuffer())),
  };
}
