import { Progress } from "./progress.ts";

type Stream = NodeJS.WriteStream;

export interface Paint {
  bold(text: string): string;
  dim(text: string): string;
  good(text: string): string;
  bad(text: string): string;
}

/** https://no-color.org: any value that is not empty. */
function paintFor(stream: Stream): Paint {
  const on = stream.isTTY === true && !process.env["NO_COLOR"] && process.env["TERM"] !== "dumb";
  const code = (open: number, close: number) => (text: string): string => (on ? `\u001b[${open}m${text}\u001b[${close}m` : text);
  return { bold: code(1, 22), dim: code(2, 22), good: code(32, 39), bad: code(31, 39) };
}

/**
 * Results go to stdout, everything said on the way to stderr, so that a pipe gets results only.
 * With `--json` stdout carries JSON lines and nothing else.
 */
export class Output {
  /** `bench` takes it back when its JSON goes to a file. */
  json: boolean;
  /** Colours of stdout. */
  readonly paint = paintFor(process.stdout);
  /** Colours of stderr. */
  readonly notePaint = paintFor(process.stderr);
  #progress: Progress | undefined;

  constructor(json: boolean) {
    this.json = json;
  }

  /** A line of the result, for people. */
  line(text = ""): void {
    this.#write(this.json ? process.stderr : process.stdout, `${text}\n`);
  }

  /** Part of a line of the result. */
  piece(text: string): void {
    if (!this.json) this.#write(process.stdout, text);
  }

  /** An object of the result, for programs; undefined becomes null, as JSON does with NaN. */
  object(value: Record<string, unknown>): void {
    if (this.json) process.stdout.write(`${JSON.stringify(value, (_, v: unknown) => v ?? null)}\n`);
  }

  /** Something said on the way. */
  note(text: string): void {
    this.#write(process.stderr, `${text}\n`);
  }

  /** Names on the left, values on the right. */
  facts(rows: readonly (readonly [string, string])[]): void {
    const width = Math.max(...rows.map(([name]) => name.length));
    for (const [name, value] of rows) this.note(`${this.notePaint.dim(name.padEnd(width))}  ${value}`);
  }

  /** A new progress line, in place of any other. */
  progress(label: string, unit: "step" | "bytes" | "row" = "step"): Progress {
    this.#progress?.end();
    this.#progress = new Progress(process.stderr, label, unit);
    return this.#progress;
  }

  endProgress(): void {
    this.#progress?.end();
    this.#progress = undefined;
  }

  #write(stream: Stream, text: string): void {
    this.#progress?.clear();
    stream.write(text);
  }
}
