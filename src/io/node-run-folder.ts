import { randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { MemoryError, ShapeError } from "../errors.ts";
import type { RunFolder } from "./run-folder.ts";

export interface RunFolderOptions {
  /** Use a folder that is there already and keep what it holds: `--force`, or going on with `--resume`. */
  readonly existing?: boolean;
}

/** The output folder of a training run on a local disk. @throws ShapeError when it exists and holds anything. */
export async function openRunFolder(path: string, options: RunFolderOptions = {}): Promise<RunFolder> {
  if (!options.existing && existsSync(path) && (await readdir(path)).length > 0) {
    throw new ShapeError(path, "the output folder exists", { expected: "a new or empty folder", got: "files in it", hint: "choose another with --output-dir, or pass --force to write into it" });
  }
  return new NodeRunFolder(path);
}

class NodeRunFolder implements RunFolder {
  readonly name: string;
  constructor(path: string) {
    this.name = path;
  }

  async saveCheckpoint(step: number, files: ReadonlyMap<string, Uint8Array | string>): Promise<string> {
    const target = join(this.name, `checkpoint-${step}`);
    const temporary = `${target}.${randomBytes(4).toString("hex")}.tmp`;
    await guard(target, async () => {
      await mkdir(temporary, { recursive: true });
      try {
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
    await guard(this.name, async () => {
      await mkdir(this.name, { recursive: true });
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
    throw cause;
  }
}
