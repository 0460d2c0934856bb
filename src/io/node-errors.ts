import { DeviceError, MemoryError, NibbleError, ShapeError } from "../errors.ts";

const FULL: Record<string, string> = {
  ENOSPC: "no space left on the disk",
  EDQUOT: "disk quota exceeded",
  EFBIG: "file larger than the file system allows",
  ENOMEM: "out of memory",
};

const WRONG_CALL: Record<string, string> = {
  ENOENT: "no such file or folder",
  ENOTDIR: "a part of the path is not a folder",
  EEXIST: "exists already",
  EACCES: "permission denied",
  EPERM: "operation not permitted",
  EROFS: "read-only file system",
  ENAMETOOLONG: "path too long",
  ELOOP: "symbolic links in a circle",
};

/** What the operating system said, as one of the engine's errors; those pass through unchanged. */
export function systemError(path: string, cause: unknown): NibbleError {
  if (cause instanceof NibbleError) return cause;
  const code = (cause as NodeJS.ErrnoException)?.code ?? "";
  if (code in FULL) return new MemoryError(path, FULL[code], { cause, hint: "free some space or write elsewhere; nothing was left behind" });
  if (code in WRONG_CALL) return new ShapeError(path, WRONG_CALL[code], { cause });
  return new DeviceError(path, (cause as Error)?.message ?? String(cause), { cause });
}
