import { FormatError, ShapeError } from "../errors.ts";
import { httpFolder, type HttpOptions } from "./http.ts";
import { memoryFolder } from "./memory.ts";
import type { SourceFolder } from "./types.ts";

/** What a model, an adapter or a file may come from, in every runtime: one file, several (an input's `files`), an address, or a folder already open. */
export type SourceInput = SourceFolder | URL | Uint8Array | Blob | Iterable<File> | Response | ReadableStream<Uint8Array>;

export interface OpenSourceOptions extends HttpOptions {
  /** File name of what has none; by default `model.gguf` or `model.safetensors`, by its first bytes. */
  readonly name?: string;
}

/**
 * Opens it for reading. Addresses and files are read in parts as they are needed; streams and responses, which come
 * only once, are kept in memory.
 * @throws ShapeError for anything else, FormatError for an answer that is an error.
 */
export async function openSource(input: SourceInput, options: OpenSourceOptions = {}): Promise<SourceFolder> {
  if (input instanceof URL) return httpFolder(input, options);
  if (input instanceof Blob) return oneFile(options.name ?? ("name" in input ? String(input.name) : undefined), input);
  if (input instanceof Uint8Array) return oneFile(options.name, input);
  if (input instanceof Response) {
    if (!input.ok) throw new FormatError(input.url, "answer", { expected: "200 OK", got: `${input.status} ${input.statusText}`.trim() });
    const last = input.url && decodeURIComponent(new URL(input.url).pathname.split("/").pop()!);
    return oneFile(options.name ?? (last || undefined), new Uint8Array(await input.arrayBuffer()));
  }
  if (input instanceof ReadableStream) return oneFile(options.name, new Uint8Array(await new Response(input as ReadableStream<Uint8Array<ArrayBuffer>>).arrayBuffer()));
  if (typeof input !== "object" || input === null) throw refused(input);
  if ("list" in input && typeof input.list === "function") return input as SourceFolder;
  if (Symbol.iterator in input) return severalFiles(input, options.name);
  throw refused(input);
}

function refused(input: unknown): ShapeError {
  return new ShapeError("openSource", "source", { expected: "a URL, bytes, a Blob, files, a Response, a stream or a folder", got: typeof input });
}

async function oneFile(name: string | undefined, content: Uint8Array | Blob): Promise<SourceFolder> {
  const start = content instanceof Blob ? new Uint8Array(await content.slice(0, 4).arrayBuffer()) : content.subarray(0, 4);
  const file = name ?? (String.fromCharCode(...start) === "GGUF" ? "model.gguf" : "model.safetensors");
  return memoryFolder(file, [[file, content]]);
}

/** The files of one folder; what a chosen folder has in folders below it is left out. */
function severalFiles(input: Iterable<File>, name: string | undefined): SourceFolder {
  const files = [...input];
  const strange = files.find((file) => !(file instanceof Blob && "name" in file));
  if (strange !== undefined) throw new ShapeError("openSource", "source", { expected: "files", got: typeof strange });
  const top = files.filter(({ webkitRelativePath }) => (webkitRelativePath ?? "").split("/").length <= 2);
  return memoryFolder(name ?? files[0]?.webkitRelativePath?.split("/")[0] ?? "files", top.map((file) => [file.name, file]));
}
