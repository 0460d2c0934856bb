import { access, constants, readFile, rename, rm, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { systemError } from "../io/node-errors.ts";

/** @throws ShapeError when there is no such file. */
export async function readFileBytes(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw systemError(path, cause);
  }
}

/** To learn it before the work, not after. @throws ShapeError when the file's folder is missing or cannot be written. */
export async function checkWritable(path: string): Promise<void> {
  try {
    await access(dirname(resolve(path)), constants.W_OK);
  } catch (cause) {
    throw systemError(path, cause);
  }
}

/** The file is the old one or the new one, never half of it. */
export async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.partial-${process.pid}`;
  try {
    await writeFile(temporary, text);
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    throw systemError(path, cause);
  }
}
