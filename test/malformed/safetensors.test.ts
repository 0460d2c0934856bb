import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError } from "../../src/errors.ts";
import { encodeSafetensors, openSafetensors } from "../../src/format/safetensors.ts";
import { countingSource, expectError, rawSafetensors, tinyTensors } from "../support/formats.ts";

const test = suite("malformed safetensors");

/** Opens what is wrong, and sees that nothing larger than the file was asked for. */
async function refuse(file: Uint8Array, pattern: RegExp): Promise<void> {
  const source = countingSource(file);
  await expectError(() => openSafetensors(source), FormatError, pattern);
  assert.ok(source.largest <= file.length);
}

const entry = (dtype: string, shape: string, offsets: string): string => `{"dtype":"${dtype}","shape":${shape},"data_offsets":${offsets}}`;
const one = (dtype: string, shape: string, offsets: string): string => `{"a":${entry(dtype, shape, offsets)}}`;

const headers: [string, string, number, RegExp][] = [
  ["no JSON", "{", 0, /header: JSON, character 1: expected a string, got the end/],
  ["not an object", "[]", 0, /header: expected a JSON object/],
  ["text after the JSON", "{} x", 0, /expected end of the JSON, got "x"/],
  ["a key twice", `{"a":${entry("U8", "[1]", "[0,1]")},"a":${entry("U8", "[1]", "[0,1]")}}`, 1, /key: expected unique keys, got "a" twice/],
  ["a key twice, once escaped", `{"a":${entry("U8", "[1]", "[0,1]")},"\\u0061":${entry("U8", "[1]", "[0,1]")}}`, 1, /got "a" twice/],
  ["a key twice inside an entry", `{"a":{"dtype":"U8","dtype":"I8","shape":[1],"data_offsets":[0,1]}}`, 1, /got "dtype" twice/],
  ["metadata twice", `{"__metadata__":{},"__metadata__":{}}`, 0, /twice/],
  ["metadata that is no map of strings", `{"__metadata__":{"a":1}}`, 0, /__metadata__\.a: expected a string, got 1/],
  ["metadata that is no object", `{"__metadata__":[]}`, 0, /__metadata__: expected an object/],
  ["an entry that is no object", `{"a":3}`, 0, /a: entry: expected an object, got 3/],
  ["no dtype", `{"a":{"shape":[1],"data_offsets":[0,1]}}`, 1, /a: dtype: expected BOOL .* got nothing/],
  ["an unknown dtype", one("F128", "[1]", "[0,16]"), 16, /a: dtype: .* got F128/],
  ["a dtype from the prototype", one("constructor", "[1]", "[0,1]"), 1, /got constructor/],
  ["no shape", `{"a":{"dtype":"U8","data_offsets":[0,1]}}`, 1, /a: shape/],
  ["a negative size", one("U8", "[-1]", "[0,1]"), 1, /a: shape/],
  ["a size that is no integer", one("U8", "[1.0]", "[0,1]"), 1, /numbers are integers here/],
  ["an exponent", one("U8", "[1e0]", "[0,1]"), 1, /numbers are integers here/],
  ["a size beyond 2^53", one("U8", "[9007199254740993]", "[0,1]"), 1, /below 2\^53/],
  ["a product that overflows", one("F32", "[4294967296,4294967296]", "[0,4]"), 4, /a: shape: expected a size below 2\^53 bits/],
  ["an overflow hidden by a zero", one("F32", "[9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,9007199254740991,0]", "[0,0]"), 0, /a: shape/],
  ["half a byte", one("F4", "[3]", "[0,2]"), 2, /a: shape: expected a whole number of bytes, got F4 \[3\]/],
  ["one offset", one("U8", "[1]", "[0]"), 1, /a: data_offsets: expected \[begin, end\]/],
  ["an end before the begin", one("U8", "[1]", "[1,0]"), 1, /a: data_offsets: expected \[begin, end\] with begin ≤ end, got \[1,0\]/],
  ["bytes that disagree with the shape", one("F32", "[2]", "[0,4]"), 4, /a: data_offsets: expected 8 bytes for F32 \[2\], got 4/],
  ["a hole at the start", one("U8", "[1]", "[1,2]"), 2, /a: hole before this tensor: expected begin at 0, got 1/],
  ["a hole between tensors", `{"a":${entry("U8", "[1]", "[0,1]")},"b":${entry("U8", "[1]", "[2,3]")}}`, 3, /b: hole before/],
  ["an overlap", `{"a":${entry("U8", "[2]", "[0,2]")},"b":${entry("U8", "[2]", "[1,3]")}}`, 3, /b: overlap: expected begin at 2, got 1/],
  ["the same bytes twice", `{"a":${entry("U8", "[2]", "[0,2]")},"b":${entry("U8", "[2]", "[0,2]")}}`, 2, /b: overlap/],
  ["data past the end", one("U8", "[9]", "[0,9]"), 8, /file size: expected \d+ bytes, where the last tensor ends/],
  ["bytes after the last tensor", one("U8", "[1]", "[0,1]"), 2, /file size/],
  ["bytes and no tensors", "{}", 1, /file size: expected 10 bytes, where the last tensor ends, got 11/],
  ["a control character in a name", `{"a\n":${entry("U8", "[1]", "[0,1]")}}`, 1, /a string that ends/],
  ["a bad escape", `{"\\x":1}`, 0, /valid escapes/],
  ["depth", `{"a":${"[".repeat(100)}`, 0, /nesting of at most 32/],
  ["a word that is none", `{"a":nul}`, 0, /expected a value/],
];
for (const [what, header, data, pattern] of headers) test(what, () => refuse(rawSafetensors(header, data), pattern));

test("an empty file, and seven bytes", async () => {
  await refuse(new Uint8Array(), /size: expected at least 8 bytes, got 0/);
  await refuse(new Uint8Array(7), /size: expected at least 8 bytes, got 7/);
});

test("a header length beyond the file, beyond 100 MB, beyond 2^53", async () => {
  await refuse(rawSafetensors("{}", 0, 3), /header length: expected at most 2, what the file holds, got 3/);
  await refuse(rawSafetensors("{}", 0, 100_000_001), /header length: expected at most 100000000, got 100000001/);
  const huge = rawSafetensors("{}", 0);
  huge.fill(0xff, 0, 8);
  await refuse(huge, /header length: expected at most 100000000, got 18446744073709551615/);
});

test("a header that is no UTF-8", async () => {
  const file = rawSafetensors('{"a":1}', 0);
  file[10] = 0xff;
  await refuse(file, /header: expected UTF-8/);
});

test("a name of ten million characters is read, not recursed into", async () => {
  await refuse(rawSafetensors(`{"${"a".repeat(1e7)}`, 0), /a string that ends/);
});

const good = encodeSafetensors([...tinyTensors().values()].slice(0, 4));

async function opensOrRefuses(file: Uint8Array): Promise<void> {
  const source = countingSource(file);
  try {
    const { tensors } = await openSafetensors(source);
    let bytes = 0;
    for (const tensor of tensors.values()) bytes += tensor.bytes;
    assert.ok(bytes <= file.length);
  } catch (error) {
    assert.instance(error, FormatError);
  }
  assert.ok(source.largest <= file.length, `asked for ${source.largest} of ${file.length} bytes`);
}

test("property: a changed file opens or is a FormatError", async () => {
  const headerEnd = good.length - 300;
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(headerEnd), fc.nat(255)), { minLength: 1, maxLength: 4 }), async (changes) => {
    const file = good.slice();
    for (const [at, value] of changes) file[at] = value;
    await opensOrRefuses(file);
  }), { numRuns: 1500, seed: 1 });
});

test("property: a truncated or lengthened file is a FormatError", async () => {
  await fc.assert(fc.asyncProperty(fc.nat(good.length - 1), async (length) => {
    await refuse(good.slice(0, length), /./);
  }), { numRuns: 300, seed: 2 });
  await refuse(Uint8Array.from([...good, 0]), /file size/);
});

test("property: any header that is text", async () => {
  await fc.assert(fc.asyncProperty(fc.oneof(fc.json(), fc.string(), fc.string({ unit: fc.constantFrom(..."{}[]\",:0-\\ae") })), fc.nat(20), async (header, data) => {
    await opensOrRefuses(rawSafetensors(header, data));
  }), { numRuns: 1000, seed: 3 });
});

test.run();
