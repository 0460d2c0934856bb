// The built command line as a user meets it: exit codes, messages, and what lies on the disk afterwards.
import { spawn, spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { failureText } from "../src/cli/failure.ts";
import { nearest } from "../src/cli/nearest.ts";
import { readValue } from "../src/cli/values.ts";
import { FormatError, ShapeError } from "../src/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "nibblelm-cli-"));
const at = (...names: string[]): string => join(folder, ...names);
const cli = suite("command line");

interface Ended { readonly code: number | null; readonly out: string; readonly err: string }

function nibblelm(...args: string[]): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["dist/cli.js", ...args], { encoding: "utf8", env: { ...process.env, HF_HUB_OFFLINE: "1", HF_HOME: folder } });
  return { code: status, out: stdout, err: stderr };
}

/** Nothing appears beside what was there: no output, no partial folder. */
function refused(code: number, pattern: RegExp, ...args: string[]): void {
  const before = readdirSync(folder).sort();
  const ended = nibblelm(...args);
  assert.match(ended.err, pattern);
  assert.is(ended.code, code, ended.err);
  assert.is(ended.out, "");
  assert.equal(readdirSync(folder).sort(), before);
}

cli.after(() => rmSync(folder, { recursive: true, force: true }));

cli("quantize, train, merge and generate, one after the other; then every way to spoil an output", () => {
  assert.is(nibblelm("quantize", "demo", "-o", at("base")).code, 0);
  writeFileSync(at("text.txt"), "The Queen of Hearts, she made some tarts, all on a summer day. ".repeat(8));
  const shape = JSON.parse(readFileSync(at("base", "config.json"), "utf8")) as object;
  writeFileSync(at("base", "config.json"), JSON.stringify({ ...shape, max_position_embeddings: 15 }));
  const trained = nibblelm("train", "--model", at("base"), "--data", at("text.txt"), "-o", at("adapter"), "--max-steps", "2", "--max-length", "16", "--gradient-accumulation-steps", "1", "--learning-rate", "1e-2", "--warmup-steps", "0");
  assert.is(trained.code, 0, trained.err);
  assert.match(trained.err, /max_length 16 is more than the 15 positions/);
  const merged = nibblelm("merge", "--model", at("base"), "--adapter", at("adapter"), "-o", at("merged"), "--json");
  assert.is(merged.code, 0, merged.err);
  const result = JSON.parse(merged.out) as { merged: number; rounding: { relative_rms: number }; worst: { tensor: string }; change: { max: number }; seconds: number };
  assert.ok(result.merged === 42 && result.rounding.relative_rms > 1e-4 && /_proj\.weight$/.test(result.worst.tensor) && result.change.max > 0 && result.seconds > 0);
  assert.match(merged.err, /rounding {2}to bf16 adds 0\.\d+ % \(RMS\), at most/);
  const text = nibblelm("generate", "--model", at("merged"), "-p", "The Queen", "--max-new-tokens", "4");
  assert.ok(text.code === 0 && text.out.trim().length > 0, text.err);

  const model = ["--model", at("base"), "--adapter", at("adapter")];
  const weights = readFileSync(at("base", "model.safetensors"));
  refused(2, /output folder: expected another folder than the input's/, "merge", ...model, "-o", at("base"), "--force");
  refused(2, /output folder: expected another folder than the input's/, "merge", ...model, "-o", at("adapter"), "--force");
  refused(2, /output folder exists: expected a path where nothing is yet, got a folder\n {2}hint: choose another, or use --force/, "merge", ...model, "-o", at("merged"));
  assert.is(nibblelm("merge", ...model, "-o", at("merged"), "--force", "--dtype", "nf4").code, 0);
  mkdirSync(at("foreign"));
  writeFileSync(at("foreign", "thesis.txt"), "mine");
  refused(2, /foreign: --force: expected a folder with config\.json or adapter_config\.json, got one with thesis\.txt/, "merge", ...model, "-o", at("foreign"), "--force");
  refused(2, /the output folder exists: expected a new or empty folder, got files in it/, "train", "--model", at("base"), "--data", at("text.txt"), "-o", at("foreign"));
  assert.is(readFileSync(at("foreign", "thesis.txt"), "utf8"), "mine");
  assert.equal(readFileSync(at("base", "model.safetensors")), weights);
  refused(2, /text\.txt\/out: a part of the path is not a folder/, "train", "--model", at("base"), "--data", at("text.txt"), "-o", at("text.txt", "out"));

  cpSync(at("adapter"), at("dora"), { recursive: true });
  const config = JSON.parse(readFileSync(at("adapter", "adapter_config.json"), "utf8")) as object;
  writeFileSync(at("dora", "adapter_config.json"), JSON.stringify({ ...config, use_dora: true }));
  refused(1, /dora\/adapter_config\.json: use_dora is not implemented: expected its default, got true/, "merge", "--model", at("base"), "--adapter", at("dora"), "-o", at("out"));
  refused(1, /base: adapter: expected adapter_config\.json, got no such file/, "merge", "--model", at("base"), "--adapter", at("base"), "-o", at("out"));
});

cli("a disk without room: exit code 4, nothing left", () => {
  // A limit on file sizes stands for it: it needs no rights and fails in the same place.
  const model = ["--model", at("base"), "--adapter", at("adapter")];
  const commands = [
    ["quantize", "demo", "-o", at("out")], ["merge", ...model, "-o", at("out")],
    ["train", "--model", at("base"), "--data", at("text.txt"), "-o", at("out"), "--max-steps", "1", "--max-length", "16"],
    ["train", "--model", at("base"), "--data", at("text.txt"), "-o", at("out"), "--max-steps", "1", "--max-length", "16", "--save-steps", "1"],
  ];
  for (const args of commands) {
    const before = readdirSync(folder).sort();
    const { status, stderr } = spawnSync("bash", ["-c", `trap '' XFSZ; ulimit -f 256; exec "$0" "$@"`, process.execPath, "dist/cli.js", ...args], { encoding: "utf8" });
    assert.is(status, 4, stderr);
    assert.match(stderr, /out[\w/.-]*: file larger than the file system allows\n {2}hint: free some space/);
    assert.equal(readdirSync(folder).sort(), before, args[0]);
  }
});

cli("a damaged model", () => {
  cpSync("src/demo", at("demo"), { recursive: true });
  const weights = readFileSync("src/demo/model.safetensors");
  writeFileSync(at("demo", "model.safetensors"), weights.subarray(0, 7));
  refused(1, /model\.safetensors: size: expected at least 8 bytes, got 7/, "quantize", at("demo"), "-o", at("out"));
  weights.writeUInt16LE(0xff80, weights.length - 2);
  writeFileSync(at("demo", "model.safetensors"), weights);
  refused(1, /element \d+: expected a finite weight, got -Infinity\n {2}hint: the model is damaged; --nan keep goes on nevertheless/, "quantize", at("demo"), "-o", at("out"));
  rmSync(at("demo", "tokenizer.json"));
  refused(1, /demo: tokenizer: expected tokenizer\.json, got none/, "generate", "--model", at("demo"), "-p", "x");
});

cli("wrong options, before anything is loaded", () => {
  refused(2, /train: --r: expected a whole number of at least 1, got 0/, "train", "--model", "demo", "--data", "demo", "-o", at("out"), "--r", "0");
  refused(2, /train: --rank-pattern: expected whole numbers of at least 1, got 0/, "train", "--model", "demo", "--data", "demo", "-o", at("out"), "--rank-pattern", "q_proj=0");
  refused(2, /train: --data: expected a path, got ""/, "train", "--model", "demo", "--data", "", "-o", at("out"));
  refused(2, /--cpu-share: expected a number above 0, at most 1, got 2/, "quantize", "demo", "-o", at("out"), "--cpu-share", "2");
  refused(2, /did you mean --learning-rate\?/, "train", "--lr", "1");
  refused(2, /HuggingFaceTB\/SmolLM2-135M: no such folder here, not in the cache, and the Hub is not asked/, "quantize", "HuggingFaceTB/SmolLM2-135M", "-o", at("out"));
  refused(2, /mrege: unknown command\n {2}hint: did you mean nibblelm merge\?/, "mrege");
});

cli("broken data, by its line", () => {
  writeFileSync(at("rows.jsonl"), '{"text":"a"}\n{"text":\n');
  refused(1, /rows\.jsonl:2: broken JSON/, "train", "--model", "demo", "--data", at("rows.jsonl"), "-o", at("out"));
  writeFileSync(at("empty.txt"), "");
  refused(1, /empty\.txt: empty/, "eval", "--model", "demo", "--data", at("empty.txt"));
});

/** Sends the signal once the program has said `when` on stdout. */
function interrupted(when: RegExp, ...args: string[]): Promise<Ended> {
  const child = spawn(process.execPath, ["dist/cli.js", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [out, err, sent] = ["", "", false];
  child.stderr.on("data", (data: Buffer) => void (err += data.toString()));
  child.stdout.on("data", (data: Buffer) => {
    out += data.toString();
    if (sent || !when.test(out)) return;
    sent = true;
    child.kill("SIGINT");
  });
  return new Promise((resolve) => child.on("close", (code) => resolve({ code, out, err })));
}

cli("Ctrl-C while training saves a checkpoint, and --resume goes on from it", async () => {
  const args = ["train", "--model", "demo", "--data", "demo", "-o", at("run"), "--max-length", "16", "--gradient-accumulation-steps", "1", "--max-steps", "200", "--json"];
  const { code, err } = await interrupted(/"step":2,/, ...args);
  assert.is(code, 130, err);
  const step = Number(/stopped after step (\d+)/.exec(err)?.[1]);
  assert.ok(step >= 2 && step < 200, err);
  assert.equal(readdirSync(at("run")), [`checkpoint-${step}`]);
  assert.match(err, /go on with .* train .* --resume/);
  const resumed = nibblelm(...args, "--resume");
  assert.is(resumed.code, 0, resumed.err);
  assert.match(resumed.out, new RegExp(`^{"event":"step","step":${step + 1},.*"cpu_seconds":0\\.\\d+`));
});

cli("a name in a message is a flag only where the call is wrong", () => {
  const flag = (name: string): string | undefined => (["r", "size", "nan"].includes(name) ? `--${name}` : undefined);
  assert.is(failureText(new ShapeError("train", "r", { expected: "1", got: 0 }), flag), "nibblelm: train: --r: expected 1, got 0");
  assert.is(failureText(new FormatError("a.bin", "size", { expected: "1", got: 0, hint: `nan: "keep" goes on` }), flag), "nibblelm: a.bin: size: expected 1, got 0\n  hint: --nan keep goes on");
});

cli("slips and initials", () => {
  const flags = ["--r", "--learning-rate", "--lora-alpha", "--no-shuffle"];
  assert.is(nearest("--lr", flags), "--learning-rate");
  assert.is(nearest("--lora-alfa", flags), "--lora-alpha");
  assert.is(nearest("--r", flags), "--r");
  assert.is(nearest("--frobnicate", flags), undefined);
});

cli("dtypes by either name", () => {
  assert.is(readValue("quantize", "dtype", "dtype", "bfloat16"), "bf16");
  assert.is(readValue("merge", "dtype", "mergeDtype", "nf4"), "nf4");
  assert.throws(() => readValue("quantize", "dtype", "dtype", "nf4"), /expected f32, f16, bf16, got "nf4"/);
});

cli.run();
