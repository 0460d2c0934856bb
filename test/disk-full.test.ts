// A disk that takes no more. `ulimit -f` makes the system refuse what a file grows to beyond a size, as a full disk would.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { suite } from "uvu";
import * as assert from "uvu/assert";

const folder = mkdtempSync(join(tmpdir(), "nibblelm-full-"));
const test = suite("a full disk");
test.after(() => rmSync(folder, { recursive: true }));

/** @param limit KiB of the largest file */
function cli(limit: number | "unlimited", ...args: string[]): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync("bash", ["-c", `ulimit -f ${limit}; exec "$0" "$@"`, process.execPath, "dist/cli.js", ...args], { encoding: "utf8" });
  return { status, stderr };
}

const bytesIn = (path: string): string[] => readdirSync(path).sort().map((file) => `${file} ${readFileSync(join(path, file)).toString("base64")}`);

test("while a checkpoint is saved: exit code 4, the checkpoint before it is untouched and goes on", () => {
  const run = join(folder, "run");
  const train = ["train", "--model", "demo", "--data", "demo", "-o", run, "--r", "2", "--max-length", "16", "--gradient-accumulation-steps", "1", "--max-steps", "2", "--save-steps", "1", "--device", "wasm"];
  assert.is(cli("unlimited", ...train).status, 0);
  const [whole, first] = [bytesIn(join(run, "checkpoint-2")), bytesIn(join(run, "checkpoint-1"))];
  rmSync(join(run, "checkpoint-2"), { recursive: true });
  const results = readdirSync(run);

  const resume = [...train, "--resume", join(run, "checkpoint-1")];
  const { status, stderr } = cli(200, ...resume); // the adapter fits, its moments do not
  assert.is(status, 4, stderr);
  assert.match(stderr, /nibblelm: .*checkpoint-2: file larger than the file system allows\n {2}hint: free some space/);
  assert.equal(readdirSync(run), results, "nothing torn is left");
  assert.equal(bytesIn(join(run, "checkpoint-1")), first);
  assert.is(cli("unlimited", ...resume).status, 0);
  assert.equal(bytesIn(join(run, "checkpoint-2")), whole);
});

test("while a model is written: exit code 4, and no folder", () => {
  const { status, stderr } = cli(500, "quantize", "demo", "-o", join(folder, "quantized"), "--device", "wasm");
  assert.is(status, 4, stderr);
  assert.match(stderr, /quantized.*: file larger than the file system allows\n {2}hint: free some space/);
  assert.equal(readdirSync(folder).filter((name) => name.includes("quantized")), []);
});

test.run();
