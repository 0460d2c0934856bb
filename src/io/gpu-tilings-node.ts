import { mkdir, readFile, writeFile } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";

const FILE = "gpu-tilings.json";

/** Remembers by adapter how matrix products are cut, in the user's cache. What cannot be read or kept is measured again. */
export class GpuTilingsFile {
  readonly #cache: string | undefined;

  constructor(cache?: string) {
    this.#cache = cache;
  }

  /** Asked for only where it is used: Deno may refuse both the variable and the home folder. */
  #folder(): string {
    return join(this.#cache ?? (process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache")), "nibblelm");
  }

  async get(adapter: string): Promise<string | undefined> {
    return (await this.#read())[adapter];
  }

  async set(adapter: string, tiling: string): Promise<void> {
    const text = JSON.stringify({ ...(await this.#read()), [adapter]: tiling }, null, 2);
    try {
      const folder = this.#folder();
      await mkdir(folder, { recursive: true });
      await writeFile(join(folder, FILE), `${text}\n`);
    } catch {} // it is measured again
  }

  async #read(): Promise<Record<string, string>> {
    try {
      const stored: unknown = JSON.parse(await readFile(join(this.#folder(), FILE), "utf8"));
      return typeof stored === "object" && stored !== null && !Array.isArray(stored) ? (stored as Record<string, string>) : {};
    } catch {
      return {};
    }
  }
}
