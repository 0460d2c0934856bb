import { FormatError } from "../errors.ts";

export type StrictJson = string | number | boolean | null | StrictJson[] | Map<string, StrictJson>;

const MAX_DEPTH = 32;
/** No integer below 2^53 has more digits. */
const INTEGER = /-?(?:0|[1-9][0-9]{0,15})(?![0-9.eE])/y;

/**
 * JSON as the headers of safetensors need it: a key that comes twice is an error, where `JSON.parse` keeps the last,
 * numbers are exact integers, and objects are maps, so that no key is special.
 * @throws FormatError with the position.
 */
export function parseStrictJson(text: string, where: string): StrictJson {
  return new Scanner(text, where).document();
}

class Scanner {
  readonly #text: string;
  readonly #where: string;
  #at = 0;

  constructor(text: string, where: string) {
    this.#text = text;
    this.#where = where;
  }

  document(): StrictJson {
    this.#skipSpace();
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at !== this.#text.length) this.#fail("end of the JSON");
    return value;
  }

  #value(depth: number): StrictJson {
    if (depth > MAX_DEPTH) this.#fail(`nesting of at most ${MAX_DEPTH}`);
    const c = this.#text[this.#at];
    if (c === "{") return this.#object(depth);
    if (c === "[") return this.#array(depth);
    if (c === '"') return this.#string();
    for (const [word, value] of [["true", true], ["false", false], ["null", null]] as const) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    return this.#integer();
  }

  #object(depth: number): Map<string, StrictJson> {
    const members = new Map<string, StrictJson>();
    this.#at++;
    if (this.#ends("}")) return members;
    do {
      this.#skipSpace();
      const key = this.#string();
      if (members.has(key)) throw new FormatError(this.#where, "key", { expected: "unique keys", got: `${JSON.stringify(key)} twice` });
      this.#skipSpace();
      this.#take(":");
      this.#skipSpace();
      members.set(key, this.#value(depth + 1));
    } while (!this.#endsOrComma("}"));
    return members;
  }

  #array(depth: number): StrictJson[] {
    const items: StrictJson[] = [];
    this.#at++;
    if (this.#ends("]")) return items;
    do {
      this.#skipSpace();
      items.push(this.#value(depth + 1));
    } while (!this.#endsOrComma("]"));
    return items;
  }

  // By hand: a regular expression overflows its stack on a string of a hundred megabytes.
  #string(): string {
    const start = this.#at;
    if (this.#text[start] !== '"') this.#fail("a string");
    let escaped = false;
    for (let i = start + 1; ; i++) {
      const code = this.#text.charCodeAt(i);
      if (code === 0x22) {
        this.#at = i + 1;
        return escaped ? this.#unescape(start) : this.#text.slice(start + 1, i);
      }
      if (Number.isNaN(code) || code < 0x20) this.#fail("a string that ends");
      if (code === 0x5c) {
        escaped = true;
        i++;
      }
    }
  }

  #unescape(start: number): string {
    try {
      return JSON.parse(this.#text.slice(start, this.#at)) as string;
    } catch {
      return this.#fail("a string with valid escapes");
    }
  }

  #integer(): number {
    INTEGER.lastIndex = this.#at;
    const match = INTEGER.exec(this.#text);
    if (!match) return this.#fail("a value (numbers are integers here)");
    const value = Number(match[0]);
    if (!Number.isSafeInteger(value)) this.#fail("an integer below 2^53");
    this.#at += match[0].length;
    return value;
  }

  #skipSpace(): void {
    while (" \t\r\n".includes(this.#text[this.#at] ?? "end")) this.#at++;
  }

  #ends(close: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== close) return false;
    this.#at++;
    return true;
  }

  #endsOrComma(close: string): boolean {
    if (this.#ends(close)) return true;
    this.#take(",");
    return false;
  }

  #take(token: string): void {
    if (this.#text[this.#at] !== token) this.#fail(`"${token}"`);
    this.#at++;
  }

  #fail(expected: string): never {
    const got = this.#at < this.#text.length ? JSON.stringify(this.#text.slice(this.#at, this.#at + 16)) : "the end";
    throw new FormatError(this.#where, `JSON, character ${this.#at}`, { expected, got });
  }
}
