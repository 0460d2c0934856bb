import { randomBytes } from "node:crypto";
import { mkdir, open, rm } from "node:fs/promises";
import { join } from "node:path";
import { DeviceError } from "../errors.ts";
import { systemError } from "./node-errors.ts";
import type { SpillFile } from "./types.ts";

/** Makes one in a folder on a local disk. Its name is gone at once where the system allows that, so a crash leaves nothing. */
export async function openSpillFile(folder: string): Promise<SpillFile> {
  const path = join(folder, `.spill-${randomBytes(4).toString("hex")}.tmp`);
  const guard = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (cause) {
      throw systemError(path, cause);
    }
  };
  const remove = (): Promise<void> => rm(path, { force: true }).catch(() => undefined);
  const handle = await guard(async () => {
    await mkdir(folder, { recursive: true });
    return open(path, "wx+");
  });
  await remove();
  return {
    read: (offset, into) => guard(async () => {
      for (let done = 0; done < into.length;) {
        const { bytesRead } = await handle.read(into, done, into.length - done, offset + done);
        if (bytesRead === 0) throw new DeviceError(path, "the file of paged states became shorter", { expected: `${offset + into.length} bytes`, got: offset + done });
        done += bytesRead;
      }
    }),
    write: (offset, bytes) => guard(async () => {
      for (let done = 0; done < bytes.length;) done += (await handle.write(bytes, done, bytes.length - done, offset + done)).bytesWritten;
    }),
    async close() {
      await handle.close();
      await remove();
    },
  };
}
