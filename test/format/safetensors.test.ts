import { readFile } from "node:fs/promises";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { ShapeError } from "../../src/errors.ts";
import { encodeSafetensors, openSafetensors, readSafetensors, type HostTensor } from "../../src/format/safetensors.ts";
import { SafetensorsWriter } from "../../src/format/safetensors-writer.ts";
import { memoryFolder, MemorySink, memorySource } from "../../src/io/memory.ts";
import { expectError, rawSafetensors } from "../support/formats.ts";

const test = suite("safetensors");

for (const file of ["test/golden/tiny/model-nf4-dq/model.safetensors", "test/golden/odd/model/model.safetensors", "test/golden/tiny/qlora-nf4dq-init/adapter_model.safetensors"]) {
  test(`${file}, read and written again, is the same file`, async () => {
    const bytes = await readFile(file);
    const tensors = await readSafetensors(memoryFolder("golden", [["file", bytes]]), "file");
    const { metadata } = await openSafetensors(memorySource(file, bytes));
    const written = encodeSafetensors([...tensors.values()].reverse(), Object.fromEntries(metadata));
    assert.ok(Buffer.compare(bytes, written) === 0);
  });
}

const u8 = (name: string, ...values: number[]): HostTensor => ({ name, dtype: "U8", shape: [values.length], data: Uint8Array.from(values) });

test("odd sizes, scalars and empty tensors", async () => {
  const tensors: HostTensor[] = [
    u8("z", 1, 2, 3), { name: "scalar", dtype: "F32", shape: [], data: Float32Array.of(1.5) }, u8("a", 9), u8("none"),
    { name: "empty", dtype: "F32", shape: [4, 0, 2], data: new Float32Array() }, { name: "long", dtype: "I64", shape: [1], data: BigInt64Array.of(-1n) },
  ];
  const bytes = encodeSafetensors(tensors, {});
  const read = await readSafetensors(memoryFolder("m", [["f", bytes]]), "f");
  assert.equal([...read.keys()], ["long", "empty", "scalar", "a", "none", "z"]);
  for (const { name, data, shape } of tensors) {
    assert.equal(read.get(name)!.data, data);
    assert.equal(read.get(name)!.shape, shape);
  }
});

test("spaces before and after the header are read", async () => {
  const { tensors } = await openSafetensors(memorySource("f", rawSafetensors(' \n{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}  ', 2)));
  assert.is(tensors.get("a")!.bytes, 2);
});

test("a file of no tensors", async () => {
  assert.is((await openSafetensors(memorySource("f", encodeSafetensors([])))).tensors.size, 0);
});

test("names that JSON escapes, and __proto__", async () => {
  const names = ['quote"backslash\\', "__proto__", "ü\u0001猫", "constructor"];
  const read = await readSafetensors(memoryFolder("m", [["f", encodeSafetensors(names.map((n) => u8(n, 7)))]]), "f");
  assert.equal(new Set(read.keys()), new Set(names));
});

test("data of another length than the shape says is not written", async () => {
  await expectError(() => encodeSafetensors([{ name: "t", dtype: "F32", shape: [3], data: new Float32Array(2) }]), ShapeError, /t: bytes to write: expected 12, got 8/);
});

test("a writer takes pieces in any order, and late tensors of any length", async () => {
  for (const late of ["", "x", "a longer one"]) {
    const sink = new MemorySink();
    const writer = new SafetensorsWriter(await sink.create("f"), [{ name: "bytes", dtype: "U8", shape: [3] }, { name: "floats", dtype: "F32", shape: [2] }], [{ name: "z.late", maxBytes: 40 }, { name: "b.late", maxBytes: 40 }]);
    await writer.write("bytes", 1, Uint8Array.of(2, 3));
    writer.writeLate("z.late", new TextEncoder().encode(late));
    await writer.write("floats", 0, new Uint8Array(Float32Array.of(1, 2).buffer));
    await writer.write("bytes", 0, Uint8Array.of(1));
    writer.writeLate("b.late", Uint8Array.of(5));
    await writer.finish();
    await sink.commit();
    const read = await readSafetensors(sink.source(), "f");
    assert.equal(read.get("bytes")!.data, Uint8Array.of(1, 2, 3));
    assert.equal(read.get("floats")!.data, Float32Array.of(1, 2));
    assert.is(new TextDecoder().decode(read.get("z.late")!.data as Uint8Array), late);
    assert.equal(read.get("b.late")!.data, Uint8Array.of(5));
    assert.is(sink.files.get("f")!.length, writer.size);
  }
});

test("a writer refuses what leaves a tensor", async () => {
  const writer = new SafetensorsWriter(await new MemorySink().create("f"), [{ name: "t", dtype: "U8", shape: [3] }], [{ name: "late", maxBytes: 2 }]);
  await expectError(() => writer.write("t", 2, Uint8Array.of(1, 2)), ShapeError, /write to t: expected within 3 bytes, got 4/);
  await expectError(() => writer.write("u", 0, Uint8Array.of(1)), ShapeError, /write to u/);
  await expectError(() => writer.writeLate("late", new Uint8Array(3)), ShapeError, /at most 2 bytes, got 3/);
});

test.run();
