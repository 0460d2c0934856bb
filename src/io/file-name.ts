import { ShapeError } from "../errors.ts";

/**
 * Names come from index files too: none may lead out of its folder.
 * @throws ShapeError unless `file` is the plain name of an entry.
 */
export function checkFileName(folder: string, file: string): void {
  if (!isFileName(file)) throw new ShapeError(folder, "file name", { expected: "the plain name of a file in this folder", got: JSON.stringify(file) });
}

export function isFileName(file: string): boolean {
  return file !== "" && file !== "." && file !== ".." && !/[/\\\0]/.test(file);
}
