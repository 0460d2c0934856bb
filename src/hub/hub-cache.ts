import { copyFile, link, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";

/**
 * One repository in the cache that huggingface_hub and others share:
 * `models--owner--name/{blobs/<etag>, snapshots/<commit>/<file> → blob, refs/<revision>}`.
 */
export class RepoCache {
  readonly #folder: string;

  constructor(cacheDir: string, repo: string) {
    this.#folder = join(cacheDir, `models--${repo.replace("/", "--")}`);
  }

  snapshot(sha: string): string {
    return join(this.#folder, "snapshots", sha);
  }

  blob(etag: string): string {
    return join(this.#folder, "blobs", etag);
  }

  /** The commit that a revision was when it was last asked for. */
  async commitOf(revision: string): Promise<string | undefined> {
    if (/^[0-9a-f]{40}$/.test(revision)) return revision;
    try {
      return (await readFile(join(this.#folder, "refs", revision), "utf8")).trim();
    } catch {
      return undefined;
    }
  }

  async remember(revision: string, sha: string): Promise<void> {
    if (revision === sha || (await this.commitOf(revision)) === sha) return;
    const ref = join(this.#folder, "refs", revision);
    await mkdir(dirname(ref), { recursive: true });
    await writeFile(`${ref}.${process.pid}`, sha);
    await rename(`${ref}.${process.pid}`, ref);
  }

  /** Names of what is there of a commit. */
  async files(sha: string): Promise<string[]> {
    return readdir(this.snapshot(sha)).catch(() => []);
  }

  async has(sha: string, file: string, size: number): Promise<boolean> {
    return (await sizeOf(join(this.snapshot(sha), file))) === size;
  }

  async hasBlob(etag: string, size: number): Promise<boolean> {
    return (await sizeOf(this.blob(etag))) === size;
  }

  /** Lets a commit have a file whose blob is there. Windows gives symbolic links to few. */
  async link(sha: string, file: string, etag: string): Promise<void> {
    const pointer = join(this.snapshot(sha), file);
    const blob = this.blob(etag);
    const target = relative(dirname(pointer), blob);
    await mkdir(dirname(pointer), { recursive: true });
    await rm(pointer, { force: true });
    await symlink(target, pointer).catch(() => link(blob, pointer)).catch(() => copyFile(blob, pointer));
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return stat(path).then(({ size }) => size, () => undefined);
}
