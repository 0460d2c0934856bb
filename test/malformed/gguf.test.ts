import fc from "fast-check";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, NibbleError } from "../../src/errors.ts";
import { openCheckpoint, type DenseTensor } from "../../src/format/checkpoint.ts";
import { openGguf } from "../../src/format/gguf.ts";
import { countingSource, expectError } from "../support/formats.ts";
import { encodeGguf, tinyGguf, type GgufParts } from "../support/gguf.ts";

const test = suite("malformed GGUF");

async function refuse(file: Uint8Array, pattern: RegExp): Promise<void> {
  const source = countingSource(file);
  await expectError(() => openGguf(source), FormatError, pattern);
  assert.ok(source.largest <= file.length);
}

const f32 = (name: string, elements: number, more: object = {}) => ({ name, ne: [elements], type: 0, data: new Uint8Array(4 * elements), ...more });
const wrong: [string, GgufParts, RegExp][] = [
  ["another magic", { magic: "GGML" }, /magic: expected "GGUF", got 0x4c4d4747/],
  ["version 1", { version: 1 }, /GGUF version: expected 2 or 3, got 1$/],
  ["big-endian", { version: 0x03000000 }, /GGUF version: .*\n {2}hint: this file is big-endian/],
  ["an empty key", { metadata: [["", 0, 1]] }, /metadata key 0: expected a name/],
  ["a key twice", { metadata: [["a", 0, 1], ["a", 0, 1]] }, /metadata key: expected unique keys, got a twice/],
  ["an unknown type of value", { metadata: [["a", 13, ""]] }, /a: expected a GGUF value type from 0 to 12, got 13/],
  ["nested arrays", { metadata: [["a", 9, { type: 9, items: [] }]] }, /a: expected an array of scalars or strings, got nested arrays/],
  ["an array longer than the file", { metadata: [["a", 9, { type: 0, items: [1], count: 1_000_000n }]] }, /a: expected at most \d+, what the file has room for, got 1000000/],
  ["an array of 2^63", { metadata: [["a", 9, { type: 8, items: [], count: 2n ** 63n }]] }, /a: expected a number below 2\^53/],
  ["an alignment of 0", { metadata: [["general.alignment", 4, 0]] }, /general\.alignment: expected a power of two, got 0/],
  ["an alignment of 48", { metadata: [["general.alignment", 4, 48]] }, /general\.alignment/],
  ["an alignment that is text", { metadata: [["general.alignment", 8, "32"]] }, /general\.alignment/],
  ["two tensors of one name", { tensors: [f32("t", 8), f32("t", 8)] }, /tensor name: expected unique names, got t twice/],
  ["five dimensions", { tensors: [f32("t", 8, { ne: [8, 1, 1, 1, 1] })] }, /t: number of dimensions: expected at most 4, got 5/],
  ["a type that was removed", { tensors: [f32("t", 8, { type: 4 })] }, /t: GGUF type: expected a known one, got number 4/],
  ["a row that is no whole number of blocks", { tensors: [f32("t", 8, { ne: [33], type: 2 })] }, /t: row length: expected a multiple of 32 for Q4_0, got 33/],
  ["a product that overflows", { tensors: [f32("t", 8, { ne: [2 ** 40, 2 ** 40] })] }, /t: shape: expected fewer than 2\^53 bytes/],
  ["a dimension of 2^64 − 1", { tensors: [f32("t", 8, { ne: [-1] })] }, /dimension: expected a number below 2\^53/],
  ["a gap", { tensors: [f32("t", 8), f32("u", 8, { offset: 64 })] }, /u: offset: expected 32, right after the tensor before, got 64/],
  ["an overlap", { tensors: [f32("t", 8), f32("u", 8, { offset: 0 })] }, /u: offset: expected 32/],
  ["data past the end", { tensors: [f32("t", 8, { ne: [800] })] }, /t: data: expected 3200 bytes .*\n {2}hint: the file is incomplete/],
];
for (const [what, parts, pattern] of wrong) test(what, () => refuse(encodeGguf(parts), pattern));

test("more tensors and pairs than fit", async () => {
  for (const at of [8, 16]) {
    const file = encodeGguf({});
    new DataView(file.buffer).setBigUint64(at, 1_000_000_000n, true);
    await refuse(file, at === 8 ? /number of tensors: expected at most 0, what/ : /number of metadata pairs/);
  }
});

test("a string longer than the file", async () => {
  const file = encodeGguf({ metadata: [["key", 8, "value"]] });
  new DataView(file.buffer).setBigUint64(24, 2n ** 40n, true);
  await refuse(file, /metadata key: expected at most \d+ bytes, what is left of the file, got 1099511627776/);
});

test("a string that is no UTF-8", async () => {
  const file = encodeGguf({ metadata: [["key", 8, "value"]] });
  file[24 + 8] = 0xff;
  await refuse(file, /metadata key: expected UTF-8/);
});

const good = tinyGguf();
const headerEnd = good.length - 4 * (7 * 64 + 4 * 64 + 64 * 64 * 2 + 32 * 64 * 5 + 32 * 2 + 64);

/** Opens it as a model, and reads some of every tensor. */
async function opensOrRefuses(file: Uint8Array): Promise<void> {
  const source = countingSource(file);
  const folder = { name: "m", list: async () => ["m.gguf"], has: async () => false, open: async () => source, readText: async () => "" };
  try {
    const checkpoint = await openCheckpoint(folder);
    for (const tensor of checkpoint.tensors.values()) await (tensor as DenseTensor).read(1, 20);
    await checkpoint.close();
  } catch (error) {
    assert.instance(error, NibbleError);
    assert.is((error as NibbleError).code, "ERR_FORMAT");
  }
  assert.ok(source.largest <= file.length, `asked for ${source.largest} of ${file.length} bytes`);
  assert.ok(source.closed > 0, "left open");
}

test("property: a changed file opens or is a FormatError", async () => {
  await fc.assert(fc.asyncProperty(fc.array(fc.tuple(fc.nat(headerEnd), fc.nat(255)), { minLength: 1, maxLength: 3 }), async (changes) => {
    const file = good.slice();
    for (const [at, value] of changes) file[at] = value;
    await opensOrRefuses(file);
  }), { numRuns: 1500, seed: 1 });
});

test("property: a truncated file opens or is a FormatError", async () => {
  await fc.assert(fc.asyncProperty(fc.nat(good.length - 1), (length) => opensOrRefuses(good.slice(0, length))), { numRuns: 300, seed: 2 });
});

test.run();
