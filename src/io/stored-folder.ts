import { MemoryError } from "../errors.ts";
import { checkFileName } from "./file-name.ts";
import { memoryFolder } from "./memory.ts";
import type { RunFolder } from "./run-folder.ts";
import type { ByteSink, SinkFolder, SourceFolder, SpillFile } from "./types.ts";

/*
 * Folders in the origin-private file system of a browser, or in any directory a page was given. No such file system
 * renames a folder, so a folder `name` lies under `name~VERSION`, and the file `name.current`, which is replaced as a
 * whole, says under which: a reader finds the old one or the new one, never a torn one.
 */

/** The folder that was committed last under this name, if any. */
export async function openStored(parent: FileSystemDirectoryHandle, name: string): Promise<SourceFolder | undefined> {
  const version = await currentVersion(parent, name);
  if (version === undefined) return undefined;
  const files: [string, Blob][] = [];
  for await (const [file, handle] of (await parent.getDirectoryHandle(version)).entries()) {
    if (handle.kind === "file") files.push([file, await (handle as FileSystemFileHandle).getFile()]);
  }
  return memoryFolder(name, files);
}

/** Names under which something is stored. */
export async function listStored(parent: FileSystemDirectoryHandle): Promise<string[]> {
  const names: string[] = [];
  for await (const name of parent.keys()) if (name.endsWith(CURRENT)) names.push(name.slice(0, -CURRENT.length));
  return names.sort();
}

/** Forgets a folder, its name first. */
export async function removeStored(parent: FileSystemDirectoryHandle, name: string): Promise<void> {
  await removeEntry(parent, name + CURRENT);
  await sweep(parent, name, undefined);
}

/** Replaces the whole of a small file, or nothing of it. @throws MemoryError when the quota is used up. */
export function writeWhole(parent: FileSystemDirectoryHandle, file: string, content: string | BufferSource): Promise<void> {
  return guard(file, async () => {
    const stream = await (await parent.getFileHandle(file, { create: true })).createWritable();
    await stream.write(content as FileSystemWriteChunkType);
    await stream.close();
  });
}

export async function readWhole(parent: FileSystemDirectoryHandle, file: string): Promise<string | undefined> {
  try {
    return await (await (await parent.getFileHandle(file)).getFile()).text();
  } catch {
    return undefined;
  }
}

/** A folder being written; it takes the place of the one of the same name at `commit`. */
export class StoredSink implements SinkFolder {
  readonly name: string;
  readonly #parent: FileSystemDirectoryHandle;
  readonly #version: string;
  #directory: FileSystemDirectoryHandle | undefined;

  constructor(parent: FileSystemDirectoryHandle, name: string) {
    this.name = name;
    this.#parent = parent;
    this.#version = `${name}~${crypto.randomUUID()}`;
  }

  async create(file: string): Promise<ByteSink> {
    checkFileName(this.name, file);
    const where = `${this.name}/${file}`;
    const stream = await guard(where, async () => {
      this.#directory ??= await this.#parent.getDirectoryHandle(this.#version, { create: true });
      return (await this.#directory.getFileHandle(file, { create: true })).createWritable();
    });
    return {
      name: where,
      write: (position, bytes) => guard(where, () => stream.write({ type: "write", position, data: bytes as Uint8Array<ArrayBuffer> })),
      close: () => guard(where, () => stream.close()),
    };
  }

  async writeText(file: string, text: string): Promise<void> {
    const sink = await this.create(file);
    await sink.write(0, new TextEncoder().encode(text));
    await sink.close();
  }

  async commit(): Promise<void> {
    await writeWhole(this.#parent, this.name + CURRENT, this.#version);
    await sweep(this.#parent, this.name, this.#version);
  }

  async discard(): Promise<void> {
    if ((await currentVersion(this.#parent, this.name)) !== this.#version) await removeEntry(this.#parent, this.#version);
  }
}

const KEPT = 2; // checkpoints: the newest, and the one before it in case the newest is not wanted
export const RESULT = "result";

/** Checkpoints and result of a training run, each a stored folder. Older checkpoints go when a new one has come. */
export function storedRunFolder(parent: FileSystemDirectoryHandle, name: string): RunFolder {
  const save = async (folder: string, files: ReadonlyMap<string, Uint8Array | string>): Promise<void> => {
    const sink = new StoredSink(parent, folder);
    try {
      for (const [file, content] of files) {
        const target = await sink.create(file);
        await target.write(0, typeof content === "string" ? new TextEncoder().encode(content) : content);
        await target.close();
      }
      await sink.commit();
    } catch (error) {
      await sink.discard();
      throw error;
    }
  };
  return {
    name,
    async saveCheckpoint(step, files) {
      await save(`checkpoint-${step}`, files);
      for (const old of (await storedCheckpoints(parent)).slice(KEPT)) await removeStored(parent, old);
      return `${name}/checkpoint-${step}`;
    },
    saveResult: (files) => save(RESULT, files),
    ...(typeof FileSystemFileHandle === "function" && "createSyncAccessHandle" in FileSystemFileHandle.prototype ? { openSpill: () => openSpill(parent, `${name}.spill`) } : {}),
  };
}

/** What TypeScript's library for pages leaves out: only dedicated workers have it. */
interface SyncAccess {
  read(into: BufferSource, options: { at: number }): number;
  write(bytes: BufferSource, options: { at: number }): number;
  close(): void;
}

async function openSpill(parent: FileSystemDirectoryHandle, file: string): Promise<SpillFile> {
  const handle = await parent.getFileHandle(file, { create: true });
  const access = await (handle as unknown as { createSyncAccessHandle(): Promise<SyncAccess> }).createSyncAccessHandle();
  const whole = (done: number, length: number): void => {
    if (done < length) throw new MemoryError(file, "this browser's storage is full", { expected: `${length} bytes`, got: done, hint: "free disk space or clear other sites' data; what was saved before is untouched" });
  };
  return {
    read: (at, into) => guard(file, async () => whole(access.read(into, { at }), into.length)),
    write: (at, bytes) => guard(file, async () => whole(access.write(bytes, { at }), bytes.length)),
    async close() {
      access.close();
      await removeEntry(parent, file);
    },
  };
}

/** Names of the checkpoints, the newest first. */
export async function storedCheckpoints(parent: FileSystemDirectoryHandle): Promise<string[]> {
  const step = (name: string): number => Number(name.slice("checkpoint-".length));
  return (await listStored(parent)).filter((name) => /^checkpoint-\d+$/.test(name)).sort((a, b) => step(b) - step(a));
}

const CURRENT = ".current";

async function currentVersion(parent: FileSystemDirectoryHandle, name: string): Promise<string | undefined> {
  return readWhole(parent, name + CURRENT);
}

async function sweep(parent: FileSystemDirectoryHandle, name: string, keep: string | undefined): Promise<void> {
  const old: string[] = [];
  for await (const entry of parent.keys()) if (entry.startsWith(`${name}~`) && entry !== keep) old.push(entry);
  for (const entry of old) await removeEntry(parent, entry);
}

async function removeEntry(parent: FileSystemDirectoryHandle, name: string): Promise<void> {
  await parent.removeEntry(name, { recursive: true }).catch(() => undefined); // it was never there, or somebody reads it still
}

async function guard<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (!(cause instanceof DOMException) || cause.name !== "QuotaExceededError") throw cause;
    throw new MemoryError(where, "this browser's storage is full", { expected: "room for the file", got: cause.name, hint: "free disk space or clear other sites' data; what was saved before is untouched", cause });
  }
}
