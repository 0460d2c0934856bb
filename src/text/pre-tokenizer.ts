/**
 * JavaScript and Rust differ in what they call a space, a digit or the same letter: JavaScript's `\s`
 * has U+FEFF and lacks U+0085, its `\d` is ASCII only, and Node 20 has no `(?i:…)`. The steps of a
 * `tokenizer.json` that lean on these are rewritten into `Split` steps with explicit characters, so
 * that ids equal those of huggingface/tokenizers for every text.
 */

/** GPT-2's pattern, as in `pre_tokenizers/byte_level.rs`; `\s` of a `Split` means White_Space. */
const BYTE_LEVEL = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

interface Step {
  type?: string;
  pretokenizers?: unknown[];
  use_regex?: boolean;
  add_prefix_space?: boolean;
  individual_digits?: boolean;
  pattern?: { Regex?: string };
}

/** @param step the `pre_tokenizer` of a tokenizer.json; other steps are returned as they are. */
export function exactPreTokenizer(step: unknown): unknown {
  if (typeof step !== "object" || step === null) return null;
  const { type, pretokenizers, use_regex, add_prefix_space, individual_digits, pattern } = step as Step;
  if (type === "Sequence") return { ...step, pretokenizers: (pretokenizers ?? []).map(exactPreTokenizer) };
  if (type === "Digits") return split(individual_digits ? "\\p{N}" : "\\p{N}+");
  if (type === "Split" && pattern?.Regex) return { ...step, pattern: { Regex: withoutCaseFlag(pattern.Regex) } };
  // With a prefix space the order of the two halves matters; the library's own pattern stays.
  if (type === "ByteLevel" && use_regex !== false && !add_prefix_space) {
    return { type: "Sequence", pretokenizers: [split(BYTE_LEVEL), { ...step, use_regex: false }] };
  }
  return step;
}

function split(pattern: string): unknown {
  return { type: "Split", pattern: { Regex: pattern }, behavior: "Isolated", invert: false };
}

/** Letters beyond ASCII that fold to a letter of ASCII. */
const FOLDED: Readonly<Record<string, string>> = { s: "\u017f", k: "\u212a" };

/** `(?i:'s|'ll)` → `(?:'[sSſ]|'[lL][lL])`, for groups of plain letters, as the tokenizers of Llama 3 and Qwen have. */
function withoutCaseFlag(pattern: string): string {
  return pattern.replace(/\(\?i:([A-Za-z'|[\]]*)\)/g, (_, body: string) => {
    let inClass = false;
    const expanded = Array.from(body, (character) => {
      if (character === "[" || character === "]") inClass = character === "[";
      if (!/[A-Za-z]/.test(character)) return character;
      const lower = character.toLowerCase();
      const forms = lower + lower.toUpperCase() + (FOLDED[lower] ?? "");
      return inClass ? forms : `[${forms}]`;
    });
    return `(?:${expanded.join("")})`;
  });
}
