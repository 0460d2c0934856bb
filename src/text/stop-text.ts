/** Ends a stream of text before the first of some texts, which may come in several pieces. */
export class StopText {
  readonly #stops: readonly string[];
  #held = "";
  found = false;

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== "");
  }

  /** What may be shown now: all that cannot be the beginning of a stop. */
  push(piece: string): string {
    const text = this.#held + piece;
    const at = this.#stops.map((stop) => text.indexOf(stop)).filter((i) => i >= 0);
    if (at.length) {
      this.found = true;
      this.#held = "";
      return text.slice(0, Math.min(...at));
    }
    const keep = Math.max(0, ...this.#stops.map((stop) => overlap(text, stop)));
    this.#held = text.slice(text.length - keep);
    return text.slice(0, text.length - keep);
  }

  /** What was held back, when the stream ends without a stop. */
  end(): string {
    const rest = this.#held;
    this.#held = "";
    return rest;
  }
}

/** Characters at the end of `text` that begin `stop`. */
function overlap(text: string, stop: string): number {
  for (let n = Math.min(stop.length - 1, text.length); n > 0; n--) if (text.endsWith(stop.slice(0, n))) return n;
  return 0;
}
