import { existsSync } from "node:fs";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DataFile } from "../commands/train.ts";
import { FormatError, ShapeError } from "../errors.ts";
import type { HubOptions } from "../hub/hub-settings.ts";
import { asHubId, openPathOrHub } from "../hub/open-hub.ts";
import { openSource } from "../io/node.ts";
import { systemError } from "../io/node-errors.ts";
import type { SourceFolder } from "../io/types.ts";
import type { Progress } from "./progress.ts";
import type { Session } from "./session.ts";

export const DEMO = "demo";

export function demoFolder({ packageFolder }: Pick<Session, "packageFolder">): string {
  return fileURLToPath(new URL("src/demo/", packageFolder));
}

/** A folder, a file, a Hub id, or `demo`. @throws ShapeError when there is nothing. */
export async function openModelSource(name: string, session: Session, hub: Pick<HubOptions, "download"> = {}): Promise<SourceFolder> {
  if (name === DEMO) return named(DEMO, await openSource(demoFolder(session)));
  return openPathOrHub(name, { ...hubOptions(session), ...hub });
}

/** What an output must not replace. */
export function inputPaths(name: string, session: Pick<Session, "packageFolder">): string[] {
  if (asHubId(name)) return [];
  return [name === DEMO ? demoFolder(session) : name];
}

const SHOWN = 1e6; // bytes: smaller files are there at once

function hubOptions({ output, signal }: Session): HubOptions {
  let shown = "";
  let bar: Progress;
  return {
    signal,
    onFallback: (reason) => output.note(`${reason}; using what was downloaded before`),
    onDownload({ file, done, total }) {
      if (total < SHOWN) return;
      if (file !== shown) bar = output.progress(`download ${file}`, "bytes");
      shown = file;
      bar.update(done, total);
    },
  };
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
export async function openAdapterSource(path: string, session: Session): Promise<SourceFolder> {
  const folder = await openPathOrHub(path, hubOptions(session));
  if (await folder.has("adapter_config.json")) return folder;
  throw new FormatError(path, "adapter", { expected: "adapter_config.json", got: "no such file", hint: "name the folder that train wrote" });
}
