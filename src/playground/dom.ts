/** The element with this id. Every id is in index.html, so a missing one is a mistake of ours. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id);
  if (!element) throw new Error(`no element #${id}`);
  return element as T;
}

export const button = (id: string): HTMLButtonElement => byId<HTMLButtonElement>(id);

export function show(id: string, yes = true): void {
  byId(id).hidden = !yes;
}

export function text(id: string, value: string): void {
  byId(id).textContent = value;
}

/** Bytes that an error counts are long numbers: people think in MB. */
export function readable(message: string): string {
  return message.replace(/\b\d{7,}\b( bytes)?/g, (n) => `${Math.ceil(parseInt(n, 10) / 1e5) / 10} MB`);
}

export function bytes(n: number): string {
  return n >= 1e9 ? `${(n / 1e9).toFixed(2)} GB` : n >= 1e6 ? `${(n / 1e6).toPrecision(3)} MB` : `${Math.ceil(n / 1e3)} kB`;
}

export function millions(n: number): string {
  return n >= 1e9 ? `${(n / 1e9).toFixed(2)} billion` : `${(n / 1e6).toPrecision(3)} million`;
}

/** Lets files be dropped on a section; folders are walked through. `name` is that of the first file or folder. */
export function onDrop(id: string, take: (files: File[], name: string) => void): void {
  const section = byId(id);
  section.addEventListener("dragover", (event) => { event.preventDefault(); section.classList.add("over"); });
  section.addEventListener("dragleave", () => section.classList.remove("over"));
  section.addEventListener("drop", (event) => {
    event.preventDefault();
    section.classList.remove("over");
    const things = [...(event.dataTransfer?.items ?? [])].map((item) => ({ entry: item.webkitGetAsEntry(), file: item.getAsFile() }));
    const name = things[0]?.entry?.name ?? things[0]?.file?.name ?? "";
    void Promise.all(things.map(({ entry, file }) => filesOf(entry, file))).then((lists) => take(lists.flat(), name));
  });
}

/** @param file what there is of a thing that comes from no disk. */
async function filesOf(entry: FileSystemEntry | null, file?: File | null): Promise<File[]> {
  if (!entry) return file ? [file] : [];
  if (entry.isFile) return [await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject))];
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  const files: File[] = [];
  for (;;) { // a reader gives its entries by the hundred
    const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (!entries.length) return files;
    for (const inner of entries) if (inner.isFile) files.push(...(await filesOf(inner)));
  }
}
