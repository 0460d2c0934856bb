import type { DataFile } from "../commands/train.ts";
import type { Tokenizer } from "../text/tokenizer.ts";

/** Tokens of one window: what the peer's figure was measured with. */
export const DEMO_WINDOW = 128;

/** Alice in Wonderland as windows of token ids: the first nine tenths to train on, the unseen last tenth to measure. */
export function demoData(text: string, tokenizer: Tokenizer): { train: DataFile; held: DataFile } {
  const ids = tokenizer.encode(text, { special: false });
  const cut = Math.floor(ids.length * 0.9);
  return { train: windows("alice-first-nine-tenths.jsonl", ids.slice(0, cut)), held: windows("alice-last-tenth.jsonl", ids.slice(cut)) };
}

function windows(name: string, ids: readonly number[]): DataFile {
  const lines: string[] = [];
  for (let at = 0; at + DEMO_WINDOW <= ids.length; at += DEMO_WINDOW) lines.push(JSON.stringify({ input_ids: ids.slice(at, at + DEMO_WINDOW) }));
  return { name, bytes: new TextEncoder().encode(lines.join("\n")) };
}
