/** Memory of the host that is used again and again: what would be garbage stays resident until it is collected. */
export class HostMemory {
  readonly #free = new Map<number, ArrayBuffer[]>();

  /** Contents are undefined. */
  take(bytes: number): ArrayBuffer {
    return this.#free.get(bytes)?.pop() ?? new ArrayBuffer(bytes);
  }

  give(buffer: ArrayBuffer): void {
    const free = this.#free.get(buffer.byteLength);
    if (free) free.push(buffer);
    else this.#free.set(buffer.byteLength, [buffer]);
  }
}

/** A promise that is awaited later, or not at all when something else fails before: its error is not told to the runtime. */
export function handled<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => undefined);
  return promise;
}
