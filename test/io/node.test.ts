import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildSync } from "esbuild";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DeviceError, FormatError, MemoryError, ShapeError } from "../../src/errors.ts";
import { createSink, openSource } from "../../src/io/node.ts";
import { openSpillFile } from "../../src/io/node-spill.ts";
import { systemError } from "../../src/io/node-errors.ts";
import { expectError } from "../support/formats.ts";

const test = suite("files on a local disk");
let dir = "";
test.before.each(() => { dir = mkdtempSync(join(tmpdir(), "nibblelm-test-")); });
test.after.each(() => rmSync(dir, { recursive: true }));

const text = (path: string): string => readFileSync(path, "utf8");

test("a folder is read: files and links to files, no sub-folders", async () => {
  mkdirSync(join(dir, "sub"));
  writeFileSync(join(dir, "b.txt"), "grüße");
  symlinkSync(join(dir, "b.txt"), join(dir, "a.txt"));
  symlinkSync(join(dir, "nowhere"), join(dir, "broken.txt"));
  const folder = await openSource(dir);
  assert.equal(await folder.list(), ["a.txt", "b.txt"]);
  assert.is(await folder.readText("a.txt"), "grüße");
  assert.equal([await folder.has("b.txt"), await folder.has("sub"), await folder.has("c")], [true, false, false]);
  await expectError(() => folder.open("c"), FormatError, /c: no such file/);
  for (const name of ["../b.txt", "sub/x", "..", "", "a\0b"]) await expectError(() => folder.has(name), ShapeError, /file name: expected the plain name/);
});

test("a file is a folder with one entry", async () => {
  for (const name of ["model.gguf", "other"]) writeFileSync(join(dir, name), "x");
  const folder = await openSource(join(dir, "model.gguf"));
  assert.equal(await folder.list(), ["model.gguf"]);
  assert.equal([await folder.has("model.gguf"), await folder.has("other")], [true, false]);
});

test("ranges are read, and no others", async () => {
  writeFileSync(join(dir, "f"), Buffer.from([0, 1, 2, 3, 4]));
  const source = await (await openSource(dir)).open("f");
  assert.equal(await source.read(1, 3), Uint8Array.of(1, 2, 3));
  assert.is((await source.read(5, 0)).length, 0);
  for (const [offset, length] of [[3, 3], [-1, 1], [0, -1], [0.5, 1], [6, 0]]) await expectError(() => source.read(offset, length), FormatError, /read past the end/);
  writeFileSync(join(dir, "f"), Buffer.from([0]));
  await expectError(() => source.read(0, 5), FormatError, /became shorter/);
  await source.close();
});

test("a file to spill into has no name, keeps what was written where, and tells of what nobody wrote", async () => {
  const spill = await openSpillFile(join(dir, "run"));
  assert.equal(readdirSync(join(dir, "run")), []);
  await spill.write(5, Uint8Array.of(1, 2, 3));
  await spill.write(6, Uint8Array.of(9));
  const into = new Uint8Array(3);
  await spill.read(5, into);
  assert.equal(into, Uint8Array.of(1, 9, 3));
  await expectError(() => spill.read(7, into), DeviceError, /paged states became shorter: expected 10 bytes, got 8/);
  await spill.close();
  assert.equal(readdirSync(join(dir, "run")), []);
});

test("what is not there", async () => {
  await expectError(() => openSource(join(dir, "none")), ShapeError, /none: no such file or folder/);
  await expectError(() => openSource("/dev/null"), ShapeError, /kind of file/);
  writeFileSync(join(dir, "latin1"), Buffer.from([0xe4]));
  await expectError(async () => (await openSource(dir)).readText("latin1"), FormatError, /latin1: text: expected UTF-8/);
});

test("nothing appears before commit, everything at it, nothing else stays", async () => {
  const out = join(dir, "runs", "first");
  const sink = await createSink(out);
  const file = await sink.create("weights");
  await file.write(2, Uint8Array.of(3, 4));
  await file.write(0, Uint8Array.of(1, 2));
  await sink.writeText("config.json", "{}");
  assert.not(existsSync(out));
  await sink.commit();
  assert.equal([...readFileSync(join(out, "weights"))], [1, 2, 3, 4]);
  assert.equal(readdirSync(join(dir, "runs")), ["first"]);
  assert.is(statSync(out).mode & 0o777, 0o777 & ~process.umask());
  await sink.discard();
  assert.ok(existsSync(out));
});

test("discard leaves nothing, not even the folders on the way", async () => {
  const sink = await createSink(join(dir, "a", "b", "c"));
  await (await sink.create("weights")).write(0, Uint8Array.of(1));
  await sink.discard();
  await sink.discard();
  assert.equal(readdirSync(dir), []);
  await expectError(() => sink.commit(), ShapeError, /commit after/);
});

test("an existing folder is refused without force", async () => {
  mkdirSync(join(dir, "out"));
  await expectError(() => createSink(join(dir, "out")), ShapeError, /output folder exists: expected a path where nothing is yet, got a folder\n {2}hint: choose another, or use --force/);
  writeFileSync(join(dir, "file"), "");
  await expectError(() => createSink(join(dir, "file"), { force: true }), ShapeError, /expected a path for a new folder, got an existing file/);
  assert.equal(readdirSync(dir), ["file", "out"]);
});

test("force replaces a model, and only at commit", async () => {
  const out = join(dir, "out");
  mkdirSync(out);
  writeFileSync(join(out, "config.json"), "old");
  writeFileSync(join(out, "leftover"), "old");
  const discarded = await createSink(out, { force: true });
  await discarded.writeText("config.json", "never");
  await discarded.discard();
  assert.is(text(join(out, "config.json")), "old");
  const sink = await createSink(out, { force: true });
  await sink.writeText("config.json", "new");
  assert.is(text(join(out, "config.json")), "old");
  await sink.commit();
  assert.is(text(join(out, "config.json")), "new");
  assert.equal(readdirSync(out), ["config.json"]);
  assert.equal(readdirSync(dir), ["out"]);
});

test("force does not replace what is no model", async () => {
  writeFileSync(join(dir, "thesis.tex"), "years of work");
  await expectError(() => createSink(dir, { force: true }), ShapeError, /expected a folder with config\.json or adapter_config\.json, got one with thesis\.tex/);
});

test("the output is no input, however it is spelled", async () => {
  const model = join(dir, "model");
  mkdirSync(model);
  writeFileSync(join(model, "config.json"), "{}");
  symlinkSync(model, join(dir, "link"));
  for (const [output, input] of [[model, model], [join(dir, "link"), model], [`${model}/`, join(dir, "link")], [dir, model], [model, join(model, "model.gguf")]]) {
    await expectError(() => createSink(output, { force: true, inputs: [input] }), ShapeError, /output folder: expected another folder than the input's/);
  }
  await (await createSink(join(dir, "model2"), { inputs: [model] })).discard();
});

test("somebody else was faster", async () => {
  const sink = await createSink(join(dir, "out"));
  await sink.writeText("config.json", "ours");
  mkdirSync(join(dir, "out"));
  writeFileSync(join(dir, "out", "config.json"), "theirs");
  await expectError(() => sink.commit(), ShapeError, /output folder exists/);
  assert.is(text(join(dir, "out", "config.json")), "theirs");
  assert.equal(readdirSync(dir), ["out"]);
});

test("two files of one name, and names that leave the folder", async () => {
  const sink = await createSink(join(dir, "out"));
  await sink.writeText("a", "");
  await expectError(() => sink.create("a"), ShapeError, /exists already/);
  await expectError(() => sink.create("../b"), ShapeError, /file name/);
  await sink.discard();
});

test("what the system says becomes an error of ours", () => {
  const of = (code: string): Error => systemError("f", Object.assign(new Error(code), { code }));
  assert.instance(of("ENOSPC"), MemoryError);
  assert.instance(of("EDQUOT"), MemoryError);
  assert.instance(of("EACCES"), ShapeError);
  assert.instance(of("EIO"), DeviceError);
  assert.match(of("ENOSPC").message, /f: no space left on the disk\n {2}hint: free some space/);
  const own = new FormatError("f", "x");
  assert.is(systemError("f", own), own);
});

test("a write that does not fit leaves nothing behind", async () => {
  // A limit on file sizes stands for a full disk: it needs no rights and fails in the same place.
  buildSync({ entryPoints: ["src/io/node.ts"], bundle: true, format: "esm", platform: "node", outfile: join(dir, "io.mjs") });
  const script = `
    import { createSink } from "./io.mjs";
    const sink = await createSink("out");
    try {
      const file = await sink.create("big");
      for (let i = 0; i < 64; i++) await file.write(i * 65536, new Uint8Array(65536));
    } catch (error) {
      await sink.discard();
      console.log(error.code);
    }`;
  const { stdout, stderr } = spawnSync("bash", ["-c", `trap '' XFSZ; ulimit -f 1024; exec "${process.execPath}" --input-type=module -e "$SCRIPT"`], { cwd: dir, env: { ...process.env, SCRIPT: script }, encoding: "utf8" });
  assert.is(stdout, "ERR_MEMORY\n", stderr);
  assert.equal(readdirSync(dir), ["io.mjs"]);
});

test.run();
