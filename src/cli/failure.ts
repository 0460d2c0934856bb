import { NibbleError } from "../errors.ts";

const EXIT_CODES: Record<string, number> = { ERR_SHAPE: 2, ERR_FORMAT: 1, ERR_DEVICE: 3, ERR_MEMORY: 4, ERR_KERNEL: 1 };

export function exitCodeOf(error: unknown): number {
  return error instanceof NibbleError ? (EXIT_CODES[error.code] ?? 1) : 1;
}

/**
 * `nibblelm: where: what: …`, with the hint on its own line. The library names options as its API does;
 * `flagFor` turns such a name into the flag that the user typed.
 */
export function failureText(error: unknown, flagFor: (name: string) => string | undefined): string {
  if (process.env["NIBBLELM_DEBUG"] === "1" && error instanceof Error) return `nibblelm: ${error.stack}${error.cause ? `\ncaused by: ${String(error.cause)}` : ""}`;
  const message = error instanceof Error ? error.message : String(error);
  if (!(error instanceof NibbleError)) return `nibblelm: ${message}\n  hint: NIBBLELM_DEBUG=1 shows where`;
  const head = `${error.where}: `;
  const said = message.startsWith(head) ? message.slice(head.length) : message;
  // Only what is wrong with the call is about options: `size` of a file is no flag.
  const named = error.code === "ERR_SHAPE" ? said.replace(/^[a-z]\w*(?=: | differs)/i, (name) => flagFor(name) ?? name) : said;
  const hinted = named.replace(/\b([a-z]\w*): "([\w-]+)"/gi, (text, name: string, value: string) => (flagFor(name) ? `${flagFor(name)} ${value}` : text));
  return `nibblelm: ${message.startsWith(head) ? head : ""}${hinted}`;
}
