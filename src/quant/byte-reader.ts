import { FormatError } from "../errors.ts";

/** Bytes to ask for where the stream lets its reader say: workerd's bodies come in chunks of 4 KiB else. */
const WANTED = 2 ** 18;

/** Exact reads from a stream whose chunks have any size. Holds one chunk at a time. */
export class ByteReader {
  readonly name: string;
  readonly #byob: ReadableStreamBYOBReader | undefined;
  readonly #plain: ReadableStreamDefaultReader<Uint8Array> | undefined;
  /** Goes to a stream of bytes and comes back filled. */
  #buffer = new ArrayBuffer(0);
  readonly #signal: AbortSignal | undefined;
  #chunk = new Uint8Array();
  #at = 0; // in the whole stream

  constructor(stream: ReadableStream<Uint8Array>, name: string, signal?: AbortSignal) {
    this.name = name;
    this.#byob = byobReader(stream);
    if (this.#byob) this.#buffer = new ArrayBuffer(WANTED);
    else this.#plain = stream.getReader();
    this.#signal = signal;
  }

  /** The next bytes, at least one and at most `most`, valid until the next call; undefined at the end. */
  async #some(most: number): Promise<Uint8Array | undefined> {
    while (!this.#chunk.length) {
      this.#signal?.throwIfAborted();
      const { done, value } = await this.#read();
      if (done) return undefined;
      if (!(value instanceof Uint8Array)) throw new FormatError(this.name, "chunk", { expected: "bytes", got: typeof value });
      this.#chunk = value as Uint8Array<ArrayBuffer>;
    }
    const part = this.#chunk.subarray(0, most);
    this.#chunk = this.#chunk.subarray(part.length);
    this.#at += part.length;
    return part;
  }

  async #read(): Promise<ReadableStreamReadResult<Uint8Array>> {
    if (this.#plain) return this.#plain.read();
    const { done, value } = await this.#byob!.read(new Uint8Array(this.#buffer));
    if (value) this.#buffer = value.buffer;
    return done || !value ? { done: true, value: undefined } : { done: false, value };
  }

  /** As `#some`, of a tensor that must not end here. @throws FormatError at the end. */
  async some(most: number): Promise<Uint8Array> {
    const part = await this.#some(most);
    if (!part) throw new FormatError(this.name, "the stream ended early", { expected: `at least ${this.#at + most} bytes`, got: this.#at });
    return part;
  }

  /** Fills `target`. @throws FormatError at the end. */
  async fill<T extends Uint8Array>(target: T): Promise<T> {
    for (let done = 0; done < target.length;) {
      const part = await this.some(target.length - done);
      target.set(part, done);
      done += part.length;
    }
    return target;
  }

  /** Exactly these many bytes, at the start of a buffer of their own. @throws FormatError at the end. */
  exactly(length: number): Promise<Uint8Array<ArrayBuffer>> {
    return this.fill(new Uint8Array(length));
  }

  /** @throws FormatError when something follows. */
  async end(): Promise<void> {
    const end = this.#at;
    if (await this.#some(1)) throw new FormatError(this.name, "bytes after the last tensor", { expected: `an end at ${end} bytes`, got: "more" });
  }

  /** Tells the source that nobody reads on; harmless at the end. */
  async cancel(reason?: unknown): Promise<void> {
    this.#chunk = new Uint8Array();
    await (this.#byob ?? this.#plain)!.cancel(reason).catch(() => undefined); // its own failure is known already
  }
}

/** Of streams of bytes; others refuse. */
function byobReader(stream: ReadableStream<Uint8Array>): ReadableStreamBYOBReader | undefined {
  if (stream.locked) return undefined; // the reader to be made says so
  try {
    return stream.getReader({ mode: "byob" });
  } catch {
    return undefined;
  }
}

/** What a generator yields, as a stream: nothing runs before somebody reads, and cancelling ends the generator. */
export function streamOf(chunks: AsyncGenerator<Uint8Array, void>): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await chunks.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await chunks.return();
    },
  }, { highWaterMark: 0 });
}
