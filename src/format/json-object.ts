import { FormatError } from "../errors.ts";

/** @throws FormatError when the text, or its UTF-8, is not a JSON object. */
export function parseJsonObject(text: string | Uint8Array, where: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(typeof text === "string" ? text : new TextDecoder("utf-8", { fatal: true }).decode(text));
  } catch (cause) {
    throw new FormatError(where, "content", { expected: "JSON", got: (cause as Error).message, cause });
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw new FormatError(where, "content", { expected: "a JSON object", got: JSON.stringify(value).slice(0, 40) });
  return value as Record<string, unknown>;
}
