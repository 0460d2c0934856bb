import { handled } from "./host-memory.ts";

/** Items with what `read` gives for them, which is begun while the item before is worked on. */
export async function* readAhead<T, V>(items: Iterable<T>, read: (item: T) => Promise<V>): AsyncGenerator<[T, V]> {
  const iterator = items[Symbol.iterator]();
  const begin = (): { item: T; value: Promise<V> } | undefined => {
    const next = iterator.next();
    return next.done ? undefined : { item: next.value, value: handled(read(next.value)) };
  };
  let next = begin();
  try {
    while (next) {
      const { item, value } = next;
      const now = await value;
      next = begin();
      yield [item, now];
    }
  } finally {
    // Whoever stops early closes the file next.
    await next?.value.catch(() => undefined);
  }
}
