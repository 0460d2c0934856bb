import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

/** Remembers by adapter how matrix products are cut, in the user's cache. What cannot be read or kept is measured again. */
export class GpuTilingsFile {
  readonly #folder: string;
  readonly #file: string;

  constructor(cache = process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache")) {
    this.#folder = join(cache, "nibblelm");
    this.#file = join(this.#folder, "gpu-tilings.json");
  }

  async get(adapter: string): Promise<string | undefined> {
    return (await this.#read())[adapter];
  }

  async set(adapter: string, tiling: string): Promise<void> {
    const text = JSON.stringify({ ...(await this.#read()), [adapter]: tiling }, null, 2);
    await mkdir(this.#folder, { recursive: true }).then(() => writeFile(this.#file, `${text}\n`)).catch(() => undefined);
  }

  async #read(): Promise<Record<string, string>> {
    try {
      const stored: unknown = JSON.parse(await readFile(this.#file, "utf8"));
      return typeof stored === "object" && stored !== null && !Array.isArray(stored) ? (stored as Record<string, string>) : {};
    } catch {
      return {};
    }
  }
}
