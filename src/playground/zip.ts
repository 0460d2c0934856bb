import { unzipSync, zipSync } from "fflate";
import { FormatError } from "../errors.ts";
import { memoryFolder } from "../io/memory.ts";
import type { SourceFolder } from "../io/types.ts";

const ADAPTER_FILES = ["adapter_config.json", "adapter_model.safetensors", "README.md"];

/** PEFT's files of an adapter; the state of the run stays behind. */
export async function zipFolder(folder: SourceFolder): Promise<Uint8Array> {
  const files: Record<string, Uint8Array> = {};
  for (const name of ADAPTER_FILES) {
    if (!(await folder.has(name))) continue;
    const source = await folder.open(name);
    files[name] = await source.read(0, source.size).finally(() => source.close());
  }
  return zipSync(files, { level: 0 }); // float32 weights hardly shrink
}

/** An adapter that a person chose: a zip, or its files. @throws FormatError */
export async function unzipAdapter(files: readonly File[]): Promise<SourceFolder> {
  const entries: [string, Uint8Array][] = [];
  for (const file of files) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    if (/\.zip$/i.test(file.name)) entries.push(...Object.entries(unzipped(file.name, bytes)));
    else entries.push([file.name, bytes]);
  }
  // A zip made of a folder has its name before each file's.
  const named = entries.map(([name, bytes]) => [name.replace(/^.*\//, ""), bytes] as const);
  if (!named.some(([name]) => name === "adapter_config.json")) {
    throw new FormatError(files[0]?.name ?? "adapter", "not an adapter", { expected: "adapter_config.json and adapter_model.safetensors, or a zip of them", got: named.map(([name]) => name).slice(0, 4).join(", ") || "nothing" });
  }
  return memoryFolder(files.length === 1 ? files[0].name : "adapter", named);
}

function unzipped(name: string, bytes: Uint8Array): Record<string, Uint8Array> {
  try {
    return unzipSync(bytes);
  } catch (cause) {
    throw new FormatError(name, "not a zip file", { got: cause instanceof Error ? cause.message : cause, cause });
  }
}
