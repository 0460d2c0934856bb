/** Random access to the bytes of one file, or of anything that behaves like one. */
export interface ByteSource {
  /** For messages: the path or the name of the file. */
  readonly name: string;
  readonly size: number;
  /**
   * A fresh copy at the start of its own buffer, so that it can be viewed as any element type.
   * A source may fill and return `into`, of the same length, instead: reading again and again then makes no garbage.
   * @throws FormatError when the range leaves the file.
   */
  read(offset: number, length: number, into?: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>>;
  close(): Promise<void>;
}

/** The files of one folder, without its sub-folders. A single file is a folder with one entry. */
export interface SourceFolder {
  readonly name: string;
  list(): Promise<string[]>;
  has(file: string): Promise<boolean>;
  /** @throws FormatError when there is no such file. */
  open(file: string): Promise<ByteSource>;
  readText(file: string): Promise<string>;
}

/** Positional writing: bytes may come in any order, as in a file. What nobody wrote is undefined. */
export interface ByteSink {
  readonly name: string;
  /** @throws MemoryError when the disk is full. */
  write(offset: number, bytes: Uint8Array): Promise<void>;
  close(): Promise<void>;
}

/** A file of one run alone: nobody else sees it, and it is gone when it is closed. */
export interface SpillFile {
  /** Fills `into` with what was written there. */
  read(offset: number, into: Uint8Array<ArrayBuffer>): Promise<void>;
  /** @throws MemoryError when the disk is full. */
  write(offset: number, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  close(): Promise<void>;
}

/** A folder being written: it appears whole at `commit`, or not at all. */
export interface SinkFolder {
  readonly name: string;
  create(file: string): Promise<ByteSink>;
  writeText(file: string, text: string): Promise<void>;
  commit(): Promise<void>;
  /** Removes what was written so far; harmless after `commit`. */
  discard(): Promise<void>;
}
