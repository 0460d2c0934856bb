import { randomBytes } from "node:crypto";
import { lstat, mkdir, open, readdir, realpath, rename, rm, rmdir, type FileHandle } from "node:fs/promises";
import { basename, dirname, join, resolve, sep } from "node:path";
import { ShapeError } from "../errors.ts";
import { checkFileName } from "./file-name.ts";
import { systemError } from "./node-errors.ts";
import type { ByteSink, SinkFolder } from "./types.ts";

export interface SinkOptions {
  /** Replace an existing model or adapter folder, at the moment of `commit`. */
  readonly force?: boolean;
  /** Paths that are read meanwhile: the output may not be, or hold, any of them. */
  readonly inputs?: readonly string[];
}

/**
 * A folder at `path` that appears whole at `commit`. Until then its files are in a hidden folder beside it.
 * @throws ShapeError when `path` exists and `force` is not set, or when it is one of the inputs.
 */
export async function createSink(path: string, { force = false, inputs = [] }: SinkOptions = {}): Promise<SinkFolder> {
  const target = await resolvedPath(resolve(path));
  for (const input of inputs) await refuseInput(path, target, input);
  await refuseExisting(path, target, force);
  const parent = dirname(target);
  try {
    const made = await mkdir(parent, { recursive: true });
    const partial = besides(target, "partial");
    await mkdir(partial);
    return new NodeSink(path, target, partial, force, made);
  } catch (cause) {
    throw systemError(path, cause);
  }
}

/** The path with links resolved, also where its last parts do not exist yet. */
async function resolvedPath(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await resolvedPath(parent), basename(path));
  }
}

function besides(target: string, kind: string): string {
  return join(dirname(target), `.${basename(target)}.${kind}-${randomBytes(4).toString("hex")}`);
}

async function refuseInput(path: string, target: string, input: string): Promise<void> {
  const resolved = await resolvedPath(resolve(input));
  if (resolved !== target && !resolved.startsWith(target + sep)) return;
  throw new ShapeError(path, "output folder", { expected: "another folder than the input's", got: input, hint: "inputs are never changed: choose another output" });
}

/** Files that say of a folder that it is a model or an adapter, hence something that `force` may replace. */
const OURS = new Set(["config.json", "adapter_config.json", "trainer_state.json"]);

async function refuseExisting(path: string, target: string, force: boolean): Promise<void> {
  let info;
  try {
    info = await lstat(target);
  } catch {
    return;
  }
  if (!info.isDirectory()) throw new ShapeError(path, "output", { expected: "a path for a new folder", got: "an existing file" });
  if (!force) throw new ShapeError(path, "output folder exists", { expected: "a path where nothing is yet", got: "a folder", hint: "choose another, or use --force to replace it" });
  const names = await readdir(target);
  if (names.length && !names.some((name) => OURS.has(name))) {
    throw new ShapeError(path, "--force", { expected: "a folder with config.json or adapter_config.json", got: `one with ${names[0]}`, hint: "this does not look like a model or an adapter: remove it yourself" });
  }
}

class NodeSink implements SinkFolder {
  readonly name: string;
  readonly #target: string;
  readonly #partial: string;
  readonly #force: boolean;
  readonly #made: string | undefined;
  readonly #open = new Set<NodeByteSink>();
  #done = false;

  constructor(name: string, target: string, partial: string, force: boolean, made: string | undefined) {
    this.name = name;
    this.#target = target;
    this.#partial = partial;
    this.#force = force;
    this.#made = made;
  }

  async create(file: string): Promise<ByteSink> {
    checkFileName(this.name, file);
    const shown = join(this.name, file);
    try {
      const sink = new NodeByteSink(shown, await open(join(this.#partial, file), "wx"), () => this.#open.delete(sink));
      this.#open.add(sink);
      return sink;
    } catch (cause) {
      throw systemError(shown, cause);
    }
  }

  async writeText(file: string, text: string): Promise<void> {
    const sink = await this.create(file);
    await sink.write(0, new TextEncoder().encode(text));
    await sink.close();
  }

  async commit(): Promise<void> {
    if (this.#done) throw new ShapeError(this.name, "commit after commit or discard");
    try {
      for (const sink of [...this.#open]) await sink.close();
      await syncFolder(this.#partial);
      await this.#swap();
      await syncFolder(dirname(this.#target));
    } catch (cause) {
      await this.discard();
      throw systemError(this.name, cause);
    }
    this.#done = true;
  }

  /** Node has no atomic exchange of two folders, so the old one steps aside first and returns if the new one cannot come. */
  async #swap(): Promise<void> {
    await refuseExisting(this.name, this.#target, this.#force);
    const old = besides(this.#target, "old");
    const replaced = await rename(this.#target, old).then(() => true, (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    });
    try {
      await rename(this.#partial, this.#target);
    } catch (error) {
      if (replaced) await rename(old, this.#target);
      throw error;
    }
    if (replaced) await rm(old, { recursive: true, force: true });
  }

  async discard(): Promise<void> {
    if (this.#done) return;
    this.#done = true;
    for (const sink of [...this.#open]) await sink.abandon();
    await rm(this.#partial, { recursive: true, force: true });
    await this.#removeMadeParents();
  }

  async #removeMadeParents(): Promise<void> {
    if (!this.#made) return;
    try {
      for (let folder = dirname(this.#target); folder.length >= this.#made.length; folder = dirname(folder)) await rmdir(folder);
    } catch {
      // Somebody else has put something there since: it stays.
    }
  }
}

class NodeByteSink implements ByteSink {
  readonly name: string;
  readonly #handle: FileHandle;
  readonly #closed: () => void;

  constructor(name: string, handle: FileHandle, closed: () => void) {
    this.name = name;
    this.#handle = handle;
    this.#closed = closed;
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    try {
      for (let done = 0; done < bytes.length;) done += (await this.#handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
    } catch (cause) {
      throw systemError(this.name, cause);
    }
  }

  async close(): Promise<void> {
    this.#closed();
    try {
      await this.#handle.sync();
    } catch (cause) {
      throw systemError(this.name, cause);
    } finally {
      await this.#handle.close();
    }
  }

  async abandon(): Promise<void> {
    this.#closed();
    await this.#handle.close().catch(() => {});
  }
}

/** Makes a rename survive a power cut. Some systems cannot sync a folder; there the rename stands as it is. */
export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, "r").catch(() => undefined);
  try {
    await handle?.sync();
  } catch (error) {
    if (!["EINVAL", "EPERM", "EISDIR", "ENOTSUP"].includes((error as NodeJS.ErrnoException).code ?? "")) throw error;
  } finally {
    await handle?.close();
  }
}
