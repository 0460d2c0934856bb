import { DeviceError } from "../errors.ts";
import { guard } from "./stored-folder.ts";
import type { SpillFile } from "./types.ts";

/** Not every DOM library of TypeScript knows it; browsers have it in workers alone. */
interface SyncHandle {
  read(into: Uint8Array, at: { at: number }): number;
  write(bytes: Uint8Array, at: { at: number }): number;
  close(): void;
}
type Handle = FileSystemFileHandle & { createSyncAccessHandle?(): Promise<SyncHandle> };

export function canSpill(): boolean {
  return typeof FileSystemFileHandle === "function" && "createSyncAccessHandle" in FileSystemFileHandle.prototype;
}

/** Makes one beside what is stored. A tab that is closed leaves it; the run's folder goes with the next run. */
export async function openStoredSpill(parent: FileSystemDirectoryHandle): Promise<SpillFile> {
  const name = `spill~${crypto.randomUUID()}`;
  const file = await guard(name, async () => ((await parent.getFileHandle(name, { create: true })) as Handle).createSyncAccessHandle!());
  return {
    async read(at, into) {
      const read = file.read(into, { at });
      if (read !== into.length) throw new DeviceError(name, "the file of paged states became shorter", { expected: `${at + into.length} bytes`, got: at + read });
    },
    write: (at, bytes) => guard(name, async () => {
      const written = file.write(bytes, { at });
      if (written !== bytes.length) throw new DOMException("not all was written", "QuotaExceededError");
    }),
    async close() {
      file.close();
      await parent.removeEntry(name).catch(() => undefined);
    },
  };
}
