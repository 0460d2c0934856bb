import { randomBytes } from "node:crypto";
import { constants, existsSync } from "node:fs";
import { access, mkdir, open, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { MemoryError, ShapeError } from "../errors.ts";
import { systemError } from "./node-errors.ts";
import { openSpillFile } from "./node-spill.ts";
import type { RunFolder } from "./run-folder.ts";
import type { SpillFile } from "./types.ts";

export interface RunFolderOptions {
  /** Use a folder that is there already and keep what it holds: `--force`, or going on with `--resume`. */
  readonly existing?: boolean;
}

/** The output folder of a training run on a local disk. @throws ShapeError when it exists and holds anything, or cannot be written: hours before it is. */
export async function openRunFolder(path: string, options: RunFolderOptions = {}): Promise<RunFolder> {
  const names = await checkWritable(path);
  if (!options.existing && names.length > 0) {
    throw new ShapeError(path, "the output folder exists", { expected: "a new or empty folder", got: "files in it", hint: "choose another with --output-dir, or pass --force to write into it" });
  }
  return new NodeRunFolder(path);
}

/** @returns what the folder holds; nothing when it is not there yet. */
async function checkWritable(path: string): Promise<string[]> {
  let existing = resolve(path);
  while (!existsSync(existing)) existing = dirname(existing);
  try {
    const names = await readdir(existing);
    await access(existing, constants.W_OK);
    return existing === resolve(path) ? names : [];
  } catch (cause) {
    throw systemError(path, cause);
  }
}

class NodeRunFolder implements RunFolder {
  readonly name: string;
  constructor(path: string) {
    this.name = path;
  }

  async saveCheckpoint(step: number, files: ReadonlyMap<string, Uint8Array | string>): Promise<string> {
    const target = join(this.name, `checkpoint-${step}`);
    const temporary = `${target}.${randomBytes(4).toString("hex")}.tmp`;
    await this.#write(target, async () => {
      try {
        await mkdir(temporary);
        for (const [file, content] of files) await writeDurable(join(temporary, file), content);
        await rm(target, { recursive: true, force: true });
        await rename(temporary, target);
        await syncFolder(this.name);
      } catch (error) {
        await rm(temporary, { recursive: true, force: true });
        throw error;
      }
    });
    return target;
  }

  async saveResult(files: ReadonlyMap<string, Uint8Array | string>): Promise<void> {
    const suffix = `.${randomBytes(4).toString("hex")}.tmp`;
    const paths = [...files.keys()].map((file) => join(this.name, file));
    await this.#write(this.name, async () => {
      try {
        // All bytes are safely on disk before the first name changes.
        for (const [file, content] of files) await writeDurable(join(this.name, file) + suffix, content);
        for (const path of paths) await rename(path + suffix, path);
        await syncFolder(this.name);
      } catch (error) {
        for (const path of paths) await rm(path + suffix, { force: true });
        throw error;
      }
    });
  }

  openSpill(): Promise<SpillFile> {
    return openSpillFile(this.name);
  }

  /** A folder that was made for what could not be written goes again. */
  async #write(target: string, work: () => Promise<void>): Promise<void> {
    await guard(target, async () => {
      const made = await mkdir(this.name, { recursive: true });
      try {
        await work();
      } catch (error) {
        if (made !== undefined) await rmdir(this.name).catch(() => undefined);
        throw error;
      }
    });
  }
}

async function writeDurable(path: string, content: Uint8Array | string): Promise<void> {
  await writeFile(path, content, { flush: true } as Parameters<typeof writeFile>[2]);
}

/** The rename itself must survive a power cut; some file systems refuse to sync a folder, which then does not matter. */
async function syncFolder(path: string): Promise<void> {
  const handle = await open(resolve(dirname(join(path, "x"))), "r");
  await handle.sync().catch(() => undefined);
  await handle.close();
}

async function guard(where: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code === "ENOSPC" || code === "EDQUOT") throw new MemoryError(where, "the disk is full", { expected: "room for the files", got: code, hint: "what was saved before is untouched", cause });
    throw systemError(where, cause);
  }
}
