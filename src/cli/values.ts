import { ShapeError } from "../errors.ts";
import { BLOCKSIZES } from "../ops/blocksize.ts";
import { VARIANTS, type Variant } from "../op.ts";
import { CHOICES, type Flag, type Kind } from "./options.ts";

type Reader = (text: string, fail: (expected: string) => never) => unknown;

const list = (text: string): string[] => text.split(",").map((part) => part.trim()).filter(Boolean);

const number: Reader = (text, fail) => {
  const value = Number(text);
  return text.trim() === "" || !Number.isFinite(value) ? fail("a number") : value;
};

const integer: Reader = (text, fail) => (/^[+-]?\d+$/.test(text.trim()) ? Number(text) : fail("a whole number"));

const count: Reader = (text, fail) => (text === "auto" ? "auto" : /^[1-9]\d*$/.test(text) ? Number(text) : fail("a whole number of at least 1, or auto"));

const UNITS: Readonly<Record<string, number>> = { "": 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12, KI: 2 ** 10, MI: 2 ** 20, GI: 2 ** 30, TI: 2 ** 40 };

const bytes: Reader = (text, fail) => {
  const [, number, unit] = /^(\d+(?:\.\d+)?)\s*((?:[kmgt]i?)?)b?$/i.exec(text.trim()) ?? [];
  const value = Math.floor(Number(number) * UNITS[(unit ?? "").toUpperCase()]);
  return value > 0 ? value : fail("bytes above 0, such as 64MB, 1.5GiB or 64000000");
};

const READERS: Partial<Record<Kind, Reader>> = {
  number,
  integer,
  tristate: (text) => (text === "auto" ? "auto" : text === "true"),
  threads: count,
  bytes,
  threadCounts: (text, fail) => text.split(",").map((part) => count(part.trim(), fail)),
  blocksize: (text, fail) => (BLOCKSIZES.includes(Number(text)) ? Number(text) : fail(BLOCKSIZES.join(", "))),
  path: (text, fail) => text || fail("a path"),
  names: list,
  variants: (text, fail) => list(text).map((part) => (VARIANTS.includes(part as Variant) ? part : fail(VARIANTS.join(", ")))),
  integers: (text, fail) => list(text).map((part) => (/^\d+$/.test(part) ? Number(part) : fail("whole numbers with commas between, such as 0,1,5"))),
  pairs: (text, fail) => Object.fromEntries(list(text).map((part) => {
    const at = part.lastIndexOf("=");
    const value = Number(part.slice(at + 1));
    return at < 1 || part.slice(at + 1) === "" || !Number.isFinite(value) ? fail("NAME=NUMBER with commas between, such as up_proj=8,down_proj=4") : [part.slice(0, at), value];
  })),
  // Names and commas only: a list of suffixes. Anything else is for the regular expression engine.
  targets: (text) => (text === "all-linear" || !/^[\w.,\s]+$/.test(text) ? text : list(text)),
};

/** Hugging Face's other names of the same. */
const SHORT: Readonly<Record<string, string>> = { float32: "f32", float16: "f16", bfloat16: "bf16", adamw_torch: "adamw", paged_adamw_32bit: "paged_adamw" };

/** @throws ShapeError naming the flag. */
export function readValue(command: string, flag: Flag, kind: Kind, given: string): unknown {
  const text = kind === "dtype" || kind === "mergeDtype" || kind === "optim" ? (SHORT[given] ?? given) : given;
  const fail = (expected: string): never => {
    throw new ShapeError(command, `--${flag}`, { expected, got: JSON.stringify(text) });
  };
  const choices = CHOICES[kind];
  if (choices && !choices.includes(text)) fail(choices.join(", "));
  return READERS[kind]?.(text, fail) ?? text;
}
