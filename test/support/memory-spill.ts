import { MemoryError } from "../../src/errors.ts";
import type { SpillFile } from "../../src/io/types.ts";

/** A file that is none. Reading what nobody wrote is an error. */
export class MemorySpill implements SpillFile {
  #content = new Uint8Array(0);
  full = false;
  closed = false;

  get size(): number { return this.#content.length; }

  async read(offset: number, into: Uint8Array): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    if (offset + into.length > this.size) throw new Error(`read beyond the end: ${offset} + ${into.length} of ${this.size}`);
    into.set(this.#content.subarray(offset, offset + into.length));
  }

  async write(offset: number, bytes: Uint8Array): Promise<void> {
    const copy = bytes.slice();
    await new Promise((resolve) => setImmediate(resolve));
    if (this.full) throw new MemoryError("spill", "the disk is full");
    if (offset + copy.length > this.size) {
      const grown = new Uint8Array(offset + copy.length);
      grown.set(this.#content);
      this.#content = grown;
    }
    this.#content.set(copy, offset);
  }

  async close(): Promise<void> { this.closed = true; }
}
