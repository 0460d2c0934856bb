import { MemorySink } from "../io/memory.ts";
import type { RunFolder } from "../io/run-folder.ts";
import { listStored, openStored, readWhole, RESULT, storedCheckpoints, StoredSink, storedRunFolder, writeWhole } from "../io/stored-folder.ts";
import type { SinkFolder, SourceFolder } from "../io/types.ts";

const ROOT = "nibblelm-playground";
const SESSION = "session.json";

/** Where the page keeps model, data, checkpoints and the state of its form. */
export interface Storage {
  /** Why nothing survives a reload; undefined when it does. */
  readonly notice: string | undefined;
  sink(name: string): Promise<SinkFolder>;
  folder(name: string): Promise<SourceFolder | undefined>;
  /** A run of its own, without the checkpoints of the one before. */
  newRun(): Promise<RunFolder>;
  run(): Promise<RunFolder>;
  newestCheckpoint(): Promise<SourceFolder | undefined>;
  result(): Promise<SourceFolder | undefined>;
  readSession(): Promise<string | undefined>;
  writeSession(json: string): Promise<void>;
  clear(): Promise<void>;
}

/** The browser's private file system, unless it has none or another tab of this page uses it. */
export async function openStorage(): Promise<Storage> {
  const root = await navigator.storage?.getDirectory?.().catch(() => undefined);
  if (!root) return new MemoryStorage("This browser gives the page no storage (a private window?): training works, but nothing survives a reload.");
  if (!(await holdLock())) return new MemoryStorage("The playground is open in another tab, which keeps the saved run. This tab works on its own and saves nothing.");
  return new BrowserStorage(root);
}

/** Held until the tab is closed. */
function holdLock(): Promise<boolean> {
  return new Promise((resolve) => {
    if (!navigator.locks) return resolve(true);
    void navigator.locks.request(ROOT, { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    });
  });
}

class BrowserStorage implements Storage {
  readonly notice = undefined;
  readonly #root: FileSystemDirectoryHandle;

  constructor(root: FileSystemDirectoryHandle) {
    this.#root = root;
  }

  #home = (): Promise<FileSystemDirectoryHandle> => this.#root.getDirectoryHandle(ROOT, { create: true });
  #runs = async (): Promise<FileSystemDirectoryHandle> => (await this.#home()).getDirectoryHandle("run", { create: true });

  sink = async (name: string): Promise<SinkFolder> => new StoredSink(await this.#home(), name);
  folder = async (name: string): Promise<SourceFolder | undefined> => openStored(await this.#home(), name);
  run = async (): Promise<RunFolder> => storedRunFolder(await this.#runs(), "run");
  readSession = async (): Promise<string | undefined> => readWhole(await this.#home(), SESSION);
  writeSession = async (json: string): Promise<void> => writeWhole(await this.#home(), SESSION, json);
  result = async (): Promise<SourceFolder | undefined> => openStored(await this.#runs(), RESULT);

  async newRun(): Promise<RunFolder> {
    await (await this.#home()).removeEntry("run", { recursive: true }).catch(() => undefined);
    return this.run();
  }

  async newestCheckpoint(): Promise<SourceFolder | undefined> {
    const runs = await this.#runs();
    const [newest] = await storedCheckpoints(runs);
    return newest === undefined ? undefined : openStored(runs, newest);
  }

  async clear(): Promise<void> {
    const home = await this.#home();
    const names = [SESSION, "run", ...(await listStored(home)).map((name) => `${name}.current`)];
    for (const name of names) await home.removeEntry(name, { recursive: true }).catch(() => undefined);
    await this.#root.removeEntry(ROOT, { recursive: true }).catch(() => undefined);
  }
}

class MemoryStorage implements Storage {
  readonly notice: string;
  readonly #folders = new Map<string, MemorySink>();
  #checkpoints: MemorySink[] = [];
  #session: string | undefined;

  constructor(notice: string) {
    this.notice = notice;
  }

  sink = async (name: string): Promise<SinkFolder> => {
    const sink = new MemorySink(name);
    this.#folders.set(name, sink);
    return sink;
  };
  folder = async (name: string): Promise<SourceFolder | undefined> => this.#folders.get(name)?.source();
  result = (): Promise<SourceFolder | undefined> => this.folder(RESULT);
  newestCheckpoint = async (): Promise<SourceFolder | undefined> => this.#checkpoints.at(-1)?.source();
  readSession = async (): Promise<string | undefined> => this.#session;
  writeSession = async (json: string): Promise<void> => void (this.#session = json);

  async newRun(): Promise<RunFolder> {
    this.#checkpoints = [];
    this.#folders.delete(RESULT);
    return this.run();
  }

  async run(): Promise<RunFolder> {
    const fill = async (sink: SinkFolder, files: ReadonlyMap<string, Uint8Array | string>): Promise<void> => {
      for (const [file, content] of files) {
        if (typeof content === "string") await sink.writeText(file, content);
        else await (await sink.create(file)).write(0, content);
      }
      await sink.commit();
    };
    return {
      name: "run",
      saveCheckpoint: async (step, files) => {
        const sink = new MemorySink(`checkpoint-${step}`);
        await fill(sink, files);
        this.#checkpoints = [sink];
        return sink.name;
      },
      saveResult: async (files) => fill(await this.sink(RESULT), files),
    };
  }

  async clear(): Promise<void> {
    this.#folders.clear();
    this.#checkpoints = [];
    this.#session = undefined;
  }
}
