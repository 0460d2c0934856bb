import { FormatError } from "../errors.ts";
import { parseJsonObject } from "./json-object.ts";
import { pythonJson } from "./python-json.ts";

/** What bitsandbytes stores beside a 4-bit weight, besides its tables. */
export interface QuantState {
  readonly quantType: "nf4" | "fp4";
  readonly blocksize: number;
  /** What the weight was, and what dequantizing rounds to. */
  readonly dtype: "float32" | "float16" | "bfloat16";
  /** Of the weight: [out, in]. */
  readonly shape: readonly number[];
  /** Double quantization of the absmax. */
  readonly nested?: { readonly blocksize: 256; readonly offset: number };
}

export const BLOCKSIZES: readonly number[] = [32, 64, 128, 256, 512, 1024, 2048, 4096];
export const NESTED_BLOCKSIZE = 256;

/** `<m>.weight` + this suffix is the key of the state's JSON. */
export function quantStateSuffix(quantType: QuantState["quantType"]): string {
  return `.quant_state.bitsandbytes__${quantType}`;
}

/** The JSON, byte for byte as bitsandbytes writes it: key order and number format are Python's. */
export function encodeQuantState(state: QuantState): Uint8Array<ArrayBuffer> {
  const nested = state.nested && { nested_blocksize: state.nested.blocksize, nested_dtype: "float32", nested_offset: state.nested.offset };
  const { quantType, blocksize, dtype, shape } = state;
  return new TextEncoder().encode(pythonJson({ quant_type: quantType, blocksize, dtype, shape, ...nested }));
}

/** Bytes that the JSON cannot exceed, whatever the offset will be. */
export function maxQuantStateBytes(state: Omit<QuantState, "nested">, doubleQuant: boolean): number {
  // No float32 has a longer shortest form as a double than this one's 24 characters.
  const nested = { blocksize: NESTED_BLOCKSIZE as 256, offset: -1.2345678901234567e-38 };
  return encodeQuantState(doubleQuant ? { ...state, nested } : state).length + 8;
}

const KEYS = ["quant_type", "blocksize", "dtype", "shape", "nested_blocksize", "nested_dtype", "nested_offset"];

/**
 * @param quantType what the key of the tensor says.
 * @throws FormatError for anything that bitsandbytes would not have written; trailing spaces are fine.
 */
export function parseQuantState(bytes: Uint8Array, quantType: string, where: string): QuantState {
  const json = parseJsonObject(bytes, where);
  const expect = (key: string, valid: boolean, expected: string): void => {
    if (!valid) throw new FormatError(where, key, { expected, got: JSON.stringify(json[key]) });
  };
  for (const key of Object.keys(json)) {
    if (!KEYS.includes(key)) throw new FormatError(where, "key of the quantization state", { expected: KEYS.join(", "), got: key });
  }
  expect("quant_type", json["quant_type"] === quantType && (quantType === "nf4" || quantType === "fp4"), `"${quantType}", as its key says`);
  expect("blocksize", BLOCKSIZES.includes(json["blocksize"] as number), BLOCKSIZES.join(", "));
  expect("dtype", ["float32", "float16", "bfloat16"].includes(json["dtype"] as string), "float32, float16 or bfloat16");
  const shape = json["shape"] as number[];
  expect("shape", Array.isArray(shape) && shape.length > 0 && shape.every((n) => Number.isSafeInteger(n) && n > 0), "a list of positive integers");
  expect("shape", Number.isSafeInteger(shape.reduce((a, b) => a * b, 1)), "fewer than 2^53 elements");
  const state = { quantType: json["quant_type"], blocksize: json["blocksize"], dtype: json["dtype"], shape } as QuantState;
  if (!KEYS.slice(4).some((key) => key in json)) return state;
  expect("nested_blocksize", json["nested_blocksize"] === NESTED_BLOCKSIZE, String(NESTED_BLOCKSIZE));
  expect("nested_dtype", json["nested_dtype"] === "float32", `"float32"`);
  expect("nested_offset", typeof json["nested_offset"] === "number" && Number.isFinite(json["nested_offset"]), "a finite number");
  return { ...state, nested: { blocksize: NESTED_BLOCKSIZE, offset: json["nested_offset"] as number } };
}
