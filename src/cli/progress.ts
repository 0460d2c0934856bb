import { bytesText, countText, durationText } from "./format.ts";

const REDRAW_MS = 100;
const BAR = 24;

// Without a terminal, a line of its own: not too often, not for every step of a thousand, never long silent.
const LINE_MS = 1000;
const LINE_PART = 0.05;
const SILENCE_MS = 30_000;

type Unit = "step" | "bytes" | "row";

/** One line that updates itself on a terminal; elsewhere now and then a line of its own. */
export class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #label: string;
  readonly #unit: Unit;
  readonly #live: boolean;
  readonly #began = performance.now();
  #shownAt = -Infinity;
  #shownDone = -Infinity;
  #drawn = false;
  #ended = false;

  constructor(stream: NodeJS.WriteStream, label: string, unit: Unit) {
    this.#stream = stream;
    this.#label = label;
    this.#unit = unit;
    this.#live = stream.isTTY === true && process.env["TERM"] !== "dumb";
  }

  /** `start` is what was done before this run; `facts` follow the count: `loss 4.312`. */
  update(done: number, total: number, facts: readonly string[] = [], start = 0): void {
    const now = performance.now();
    if (this.#ended || !this.#due(now, done, total)) return;
    this.#shownAt = now;
    this.#shownDone = done;
    const seconds = (now - this.#began) / 1000;
    const rest = done >= total ? `in ${durationText(seconds)}` : `ETA ${durationText((seconds / Math.max(done - start, 1e-9)) * (total - done))}`;
    const words = [`${this.#count(done)}/${this.#count(total)}`, ...facts, rest].join("  ");
    if (this.#live) this.#redraw(done / total, words);
    else this.#stream.write(`${this.#label}  ${words}\n`);
  }

  #due(now: number, done: number, total: number): boolean {
    const last = done >= total;
    const since = now - this.#shownAt;
    if (this.#live) return last || since >= REDRAW_MS;
    if (this.#unit === "step" && last) return true;
    if (this.#unit !== "step" && (last || now - this.#began < LINE_MS)) return false;
    return since >= LINE_MS && (done - this.#shownDone >= LINE_PART * total || since >= SILENCE_MS);
  }

  #count(value: number): string {
    return this.#unit === "bytes" ? bytesText(value) : countText(value);
  }

  #redraw(part: number, words: string): void {
    const room = (this.#stream.columns || 80) - 1;
    const width = Math.max(0, Math.min(BAR, room - this.#label.length - words.length - 3));
    const line = `${this.#label} ${bar(part, width)}  ${words}`;
    this.#stream.write(`\r\u001b[2K${line.slice(0, room)}`);
    this.#drawn = true;
  }

  /** Makes way for other text; the next update draws again. */
  clear(): void {
    if (!this.#drawn) return;
    this.#stream.write("\r\u001b[2K");
    this.#drawn = false;
    this.#shownAt = -Infinity;
  }

  /** Leaves what was last drawn, and draws no more. */
  end(): void {
    if (this.#drawn) this.#stream.write("\n");
    this.#drawn = false;
    this.#ended = true;
  }
}

function bar(part: number, width: number): string {
  const full = Math.max(0, Math.min(width, Math.round(part * width)));
  const [on, off] = unicode() ? ["━", "─"] : ["=", "."];
  return on.repeat(full) + off.repeat(width - full);
}

function unicode(): boolean {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  return process.platform === "win32" || process.platform === "darwin" || /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || "");
}
