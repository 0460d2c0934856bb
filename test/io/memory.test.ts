import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, ShapeError } from "../../src/errors.ts";
import { memoryFolder, MemorySink, memorySource } from "../../src/io/memory.ts";
import { MemoryRun } from "../../src/io/memory-run.ts";
import { expectError } from "../support/formats.ts";

const test = suite("files in memory");

test("what is read is a copy at the start of its buffer", async () => {
  const bytes = Uint8Array.of(1, 2, 3, 4, 5);
  const read = await memorySource("m", bytes).read(1, 4);
  assert.equal([read.byteOffset, ...read], [0, 2, 3, 4, 5]);
  read[0] = 9;
  assert.is(bytes[1], 2);
  await expectError(() => memorySource("m", bytes).read(4, 2), FormatError, /m: read past the end: expected a range within 5 bytes, got 2 bytes from 4/);
});

test("files appear at commit", async () => {
  const sink = new MemorySink("out");
  const file = await sink.create("a");
  await file.write(1000, Uint8Array.of(7));
  await file.write(0, Uint8Array.of(1));
  await sink.writeText("b", "grüße");
  assert.is(sink.files.size, 0);
  await expectError(() => sink.create("a"), ShapeError, /created twice/);
  await expectError(() => sink.create("x/y"), ShapeError, /file name/);
  await sink.commit();
  const folder = sink.source();
  assert.equal(await folder.list(), ["a", "b"]);
  assert.is(await folder.readText("b"), "grüße");
  const source = await folder.open("a");
  assert.equal([source.size, ...(await source.read(999, 2))], [1001, 0, 7]);
  await expectError(() => folder.open("c"), FormatError, /out\/c: no such file/);
});

test("discarded files never appear", async () => {
  const sink = new MemorySink();
  await sink.writeText("a", "");
  await sink.discard();
  await sink.commit();
  assert.is(sink.files.size, 0);
});

test("text that is no UTF-8", () => expectError(() => memoryFolder("m", [["a", Uint8Array.of(0xff)]]).readText("a"), FormatError, /m\/a: text: expected UTF-8/));

test("a run in memory gives its adapter and its checkpoints back", async () => {
  const run = new MemoryRun("run");
  await expectError(() => run.source(), ShapeError, /run: result: expected a run that came so far, got checkpoints of the steps \(none\)/);
  const files = new Map<string, Uint8Array | string>([["adapter_config.json", "{}"]]);
  assert.is(await run.saveCheckpoint(2, files), "run/checkpoint-2");
  files.set("late", "");
  await run.saveResult(files);
  assert.equal([await run.source().list(), await run.source(2).list()], [["adapter_config.json", "late"], ["adapter_config.json"]]);
  await expectError(() => run.source(3), ShapeError, /checkpoint 3: .* got checkpoints of the steps 2/);
});

test.run();
