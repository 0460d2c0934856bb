import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DataFile } from "../commands/train.ts";
import { FormatError, ShapeError } from "../errors.ts";
import { openSource } from "../io/node.ts";
import { systemError } from "../io/node-errors.ts";
import type { SourceFolder } from "../io/types.ts";
import type { Session } from "./session.ts";

export const DEMO = "demo";

export function demoFolder({ packageFolder }: Pick<Session, "packageFolder">): string {
  return fileURLToPath(new URL("src/demo/", packageFolder));
}

/** A folder, a file, or `demo`. @throws ShapeError when there is nothing, with a hint for what looks like a Hub id. */
export async function openModelSource(name: string, session: Pick<Session, "packageFolder">): Promise<SourceFolder> {
  if (name === DEMO) return named(DEMO, await openSource(demoFolder(session)));
  if (!existsSync(name) && /^[\w.-]+\/[\w.-]+$/.test(name) && !name.startsWith(".")) {
    throw new ShapeError(name, "no such folder", { hint: "if this is a Hugging Face Hub id: they are not supported yet, download the model and name its folder" });
  }
  return openSource(name);
}

/** What an output must not replace. */
export function inputPaths(name: string, session: Pick<Session, "packageFolder">): string[] {
  return [name === DEMO ? demoFolder(session) : name];
}

/** Adapters and logs then say `demo`, not where this machine keeps the package. */
function named(name: string, folder: SourceFolder): SourceFolder {
  return { name, list: () => folder.list(), has: (file) => folder.has(file), open: (file) => folder.open(file), readText: (file) => folder.readText(file) };
}

/** @throws ShapeError when there is no such file. */
export async function readData(name: string, session: Pick<Session, "packageFolder">): Promise<DataFile> {
  const path = name === DEMO ? join(demoFolder(session), "alice.txt") : name;
  try {
    if ((await stat(path)).isDirectory()) throw new ShapeError(name, "data", { expected: "a .txt or .jsonl file", got: "a folder" });
    return { name: name === DEMO ? "alice.txt" : name, bytes: await readFile(path) };
  } catch (cause) {
    throw systemError(name, cause);
  }
}

/** The folder `checkpoint-N` with the largest N. @throws ShapeError when there is none. */
export async function newestCheckpoint(outputDir: string): Promise<string> {
  const names = existsSync(outputDir) ? await readdir(outputDir) : [];
  const steps = names.map((name) => /^checkpoint-(\d+)$/.exec(name)?.[1]).filter((step) => step !== undefined).map(Number);
  if (!steps.length) throw new ShapeError(outputDir, "no checkpoint to resume from", { expected: "a folder checkpoint-N", got: names.length ? names.join(", ").slice(0, 60) : "nothing", hint: "name one: --resume PATH" });
  return join(outputDir, `checkpoint-${Math.max(...steps)}`);
}

export function isCheckpointName(path: string): boolean {
  return /^checkpoint-\d+$/.test(basename(path));
}

/** @throws FormatError when the folder holds no adapter. */
export async function openAdapterSource(path: string): Promise<SourceFolder> {
  const folder = await openSource(path);
  if (await folder.has("adapter_config.json")) return folder;
  throw new FormatError(path, "adapter", { expected: "adapter_config.json", got: "no such file", hint: "name the folder that train wrote" });
}
