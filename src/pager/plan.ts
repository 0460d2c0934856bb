/** The order in which a sweep over the model uses its pages, the same again and again: so every page's next use is known. */
export class Plan {
  readonly uses: readonly number[];
  readonly #places = new Map<number, number[]>(); // of a page in `uses`, ascending

  /** @param uses pages by number; a page that is used twice in a row is used once. */
  constructor(uses: readonly number[]) {
    this.uses = uses.filter((page, i) => i === 0 || page !== uses[i - 1]);
    this.uses.forEach((page, place) => {
      const places = this.#places.get(page);
      if (places) places.push(place);
      else this.#places.set(page, [place]);
    });
  }

  /** Uses from `place` until `page` is needed again, this time or the next; Infinity when it never is. */
  distance(page: number, place: number): number {
    const places = this.#places.get(page);
    if (!places) return Infinity;
    return (places.find((p) => p > place) ?? places[0] + this.uses.length) - place;
  }

  /** The page that is farthest from its next use: the best one to give up (Belady 1966). */
  farthest(pages: Iterable<number>, place: number): number {
    let victim = -1;
    let most = -1;
    for (const page of pages) {
      const distance = this.distance(page, place);
      if (distance > most) [victim, most] = [page, distance];
    }
    return victim;
  }

  /** The first page after `place`, around the end, that `missing` is true for. */
  nextMissing(place: number, missing: (page: number) => boolean): number | undefined {
    const { uses } = this;
    for (let i = 1; i <= uses.length; i++) {
      const page = uses[(place + i) % uses.length];
      if (missing(page)) return page;
    }
    return undefined;
  }
}
