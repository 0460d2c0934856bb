import { execFile } from "node:child_process";
import { lstat, mkdir, mkdtemp, readdir, readFile, readlink, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { DeviceError, FormatError, MemoryError, NibbleError, ShapeError } from "../src/errors.ts";
import { parseHubId } from "../src/hub/hub-id.ts";
import { hubSettings, type HubOptions } from "../src/hub/hub-settings.ts";
import { openHub, openPathOrHub } from "../src/hub/open-hub.ts";
import { FakeHub, gitHash, sha256 } from "./support/fake-hub.ts";

const WEIGHTS = Uint8Array.from({ length: 300_000 }, (_, i) => (i * 2654435761) >>> 24);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const FILES = { "config.json": bytes("{}"), "model.safetensors": WEIGHTS, "pytorch_model.bin": bytes("pickle"), "README.md": bytes("# A model") };

type Call = (context: { hub: FakeHub; cacheDir: string; repoFolder: string; open: (id?: string, options?: HubOptions) => ReturnType<typeof openHub> }) => Promise<void>;

const test = suite("hub");
/** With a Hub and a cache of its own. */
const fresh = (work: Call) => async (): Promise<void> => {
  const hub = await FakeHub.start();
  const cacheDir = await mkdtemp(join(tmpdir(), "hub-"));
  hub.repos.set("some/model", { files: FILES });
  const open = (id = "some/model", options: HubOptions = {}): ReturnType<typeof openHub> => openHub(id, { endpoint: hub.url, cacheDir, offline: false, token: "", ...options });
  try {
    await work({ hub, cacheDir, repoFolder: join(cacheDir, "models--some--model"), open });
  } finally {
    await hub.close();
    await rm(cacheDir, { recursive: true });
  }
};

async function refused(work: Promise<unknown>, kind: new (...args: never[]) => NibbleError, message: RegExp): Promise<void> {
  const error = await work.then(() => undefined, (caught: unknown) => caught);
  assert.instance(error, kind, String(error));
  assert.match((error as Error).message, message);
}

async function weightsOf(folder: Awaited<ReturnType<typeof openHub>>): Promise<Uint8Array> {
  const source = await folder.open("model.safetensors");
  return source.read(0, source.size).finally(() => source.close());
}

test("what is an id", () => {
  assert.equal(parseHubId("some/model"), { repo: "some/model", revision: "main", gguf: undefined });
  assert.equal(parseHubId("some/model-1.5@refs/pr/2:Q4_K_M"), { repo: "some/model-1.5", revision: "refs/pr/2", gguf: "Q4_K_M" });
  for (const path of ["model", "./some/model", "some/model.gguf", "a/b/c", "../model", "some/..", "a/b@../c", "some--x/model", "a/b:../c", "C:\\some\\model", ""]) assert.is(parseHubId(path), undefined, path);
});

test("only what is opened is downloaded, into huggingface_hub's layout, and only once", fresh(async ({ hub, repoFolder, open }) => {
  const folder = await open();
  assert.is(folder.name, "some/model");
  assert.equal((await folder.list()).sort(), Object.keys(FILES).sort());
  assert.is(await folder.readText("config.json"), "{}");
  assert.equal(await weightsOf(folder), WEIGHTS);
  const sha = hub.commitOf("some/model");
  assert.is(await readFile(join(repoFolder, "refs/main"), "utf8"), sha);
  assert.equal((await readdir(join(repoFolder, "blobs"))).sort(), [gitHash(FILES["config.json"]), sha256(WEIGHTS)].sort());
  const pointer = join(repoFolder, "snapshots", sha, "model.safetensors");
  assert.ok((await lstat(pointer)).isSymbolicLink());
  assert.is(await readlink(pointer), join("../../blobs", sha256(WEIGHTS)));
  const before = hub.requests.length;
  assert.equal(await weightsOf(await open()), WEIGHTS);
  assert.equal(hub.requests.slice(before).map(({ line }) => line), ["GET /api/models/some/model/revision/main?blobs=true"]);
}));

test("offline, and when the Hub is down, the cache serves; a file that is not in it says so", fresh(async ({ hub, open }) => {
  await weightsOf(await open());
  assert.equal(await weightsOf(await open("some/model", { offline: true })), WEIGHTS);
  await refused(open("some/model", { offline: true }).then((folder) => folder.readText("config.json")), FormatError, /config\.json: no such file\n {2}hint: it is not in the cache/);
  await refused(open("other/model", { offline: true }), ShapeError, /not in the cache, and the Hub is not asked/);
  hub.down = 503;
  const reasons: string[] = [];
  assert.equal(await weightsOf(await open("some/model", { onFallback: (reason) => reasons.push(reason) })), WEIGHTS);
  assert.match(reasons.join(), /cannot answer now: got HTTP 503/);
  await refused(open("other/model"), DeviceError, /cannot answer now/);
  await refused(open("other/model", { endpoint: "http://127.0.0.1:9" }), DeviceError, /cannot reach http:\/\/127\.0\.0\.1:9: got .*\n {2}hint: is this computer online/);
}));

test("refusals say what to do", fresh(async ({ hub, open }) => {
  hub.repos.set("some/private", { files: FILES, token: "secret" });
  hub.repos.set("some/gated", { files: FILES, gated: true });
  await refused(open("some/private"), ShapeError, /no such model on the Hub, or a private one: got HTTP 401\n {2}hint: .*HF_TOKEN/);
  await refused(open("some/gated"), ShapeError, /access must be granted first.*\n {2}hint: accept the terms/);
  await refused(open("some/model@nowhere"), ShapeError, /no such revision: got nowhere/);
  await refused(open("not an id"), ShapeError, /expected owner\/name/);
  assert.equal(await weightsOf(await open("some/private", { token: "secret" })), WEIGHTS);
  assert.ok(hub.requests.filter(({ host }) => host === "cdn").every(({ token }) => token === undefined), "the token is for the Hub alone");
}));

test("a download that breaks goes on where it broke; what an earlier one left is used", fresh(async ({ hub, repoFolder, open }) => {
  const partial = join(repoFolder, "blobs", `${sha256(WEIGHTS)}.incomplete`);
  await mkdir(dirname(partial), { recursive: true });
  await writeFile(partial, WEIGHTS.subarray(0, 50_000));
  let breaks = 0;
  hub.breakAfter = () => (breaks++ === 0 ? 100_000 : undefined);
  const seen: number[] = [];
  assert.equal(await weightsOf(await open("some/model", { onDownload: ({ done }) => seen.push(done) })), WEIGHTS);
  const [first, second] = hub.requests.filter(({ host }) => host === "cdn").map(({ line }) => Number(/bytes=(\d+)-/.exec(line)![1]));
  assert.is(first, 50_000);
  assert.ok(second > first && second <= 150_000, `went on at ${second}`);
  assert.ok(seen.every((done, i) => i === 0 || done > seen[i - 1]) && seen.at(-1) === WEIGHTS.length, "progress only grows");
}));

test("a server that ignores ranges, or has other bytes than it lists", fresh(async ({ hub, repoFolder, open }) => {
  const blobs = join(repoFolder, "blobs");
  const wrong = Uint8Array.from(WEIGHTS, (byte, i) => (i === 7 ? byte + 1 : byte));
  await mkdir(blobs, { recursive: true });
  await writeFile(join(blobs, `${sha256(WEIGHTS)}.incomplete`), wrong.subarray(0, 1000));
  await refused(open().then(weightsOf), FormatError, /downloaded bytes: expected SHA-256 .*\n {2}hint: .*deleted/);
  assert.equal(await readdir(blobs), []);
  await writeFile(join(blobs, `${sha256(WEIGHTS)}.incomplete`), WEIGHTS.subarray(0, 1000));
  hub.ignoresRanges = true;
  assert.equal(await weightsOf(await open()), WEIGHTS);
  hub.lie = (entry) => ({ ...entry, size: 1000 });
  await refused(open().then((folder) => folder.open("README.md")), FormatError, /README\.md: end of the file: expected 1000 bytes, got 9/);
  hub.lie = (entry) => ({ ...entry, size: 5 });
  await refused(open().then((folder) => folder.open("README.md")), FormatError, /README\.md: more bytes than listed/);
  hub.lie = (entry) => ({ ...entry, rfilename: "../../evil", blobId: "../evil" });
  assert.equal(await (await open()).list(), [], "a name that leads elsewhere is no file");
  hub.lie = ({ lfs, ...entry }) => ({ ...entry, blobId: "../evil" });
  await refused(open(), FormatError, /the Hub's entry: expected size and hash/);
}));

test("a full disk: before the download, and in its middle", fresh(async ({ hub, repoFolder, open }) => {
  hub.lie = (entry) => ({ ...entry, size: 2 ** 52 });
  await refused(open().then(weightsOf), MemoryError, /no space left for the download.*\n {2}hint: .*HF_HOME/);
  hub.lie = undefined;
  const partial = join(repoFolder, "blobs", `${sha256(WEIGHTS)}.incomplete`);
  await rm(partial, { force: true });
  await symlink("/dev/full", partial);
  await refused(open().then(weightsOf), MemoryError, /no space left for the download: expected room for the file, got ENOSPC/);
}));

test("one GGUF file of several", fresh(async ({ hub, open }) => {
  hub.repos.set("some/model-GGUF", { files: { "m-Q4_K_M.gguf": bytes("GGUF m"), "m-Q4_K_S.gguf": bytes("GGUF s"), "m.q8_0.gguf": bytes("GGUF 8") } });
  assert.equal(await (await open("some/model-GGUF:Q4_K_M")).list(), ["m-Q4_K_M.gguf"]);
  assert.equal(await (await open("some/model-GGUF:Q8_0")).list(), ["m.q8_0.gguf"]);
  assert.is(await (await open("some/model-GGUF@main:m-Q4_K_S.gguf")).readText("m-Q4_K_S.gguf"), "GGUF s");
  await refused(open("some/model-GGUF"), ShapeError, /which of its GGUF files: expected some\/model-GGUF:m-Q4_K_M\.gguf/);
  await refused(open("some/model-GGUF:Q2_K"), ShapeError, /some\/model-GGUF:Q2_K: GGUF file: expected one of m-Q4_K_M\.gguf, /);
}));

test("headers are read in parts, without a download", fresh(async ({ hub, cacheDir, open }) => {
  const source = await (await open("some/model", { download: false })).open("model.safetensors");
  assert.equal(await source.read(100_000, 10), WEIGHTS.slice(100_000, 100_010));
  assert.ok(hub.requests.filter(({ host }) => host === "cdn").every(({ line }) => / bytes=\d+-\d+$/.test(line)));
  assert.equal(await readdir(cacheDir), []);
}));

test("the command line inspects a model of the Hub by its headers, and generates with it from the cache", fresh(async ({ hub, cacheDir }) => {
  const demo = await readdir("src/demo");
  hub.repos.set("some/demo", { files: Object.fromEntries(await Promise.all(demo.map(async (file) => [file, await readFile(join("src/demo", file))] as const))) });
  const env = { ...process.env, HF_ENDPOINT: hub.url, HF_HUB_CACHE: cacheDir, HF_HUB_OFFLINE: "", HF_TOKEN: "" };
  const nibblelm = async (more: NodeJS.ProcessEnv, ...args: string[]): Promise<string> => (await promisify(execFile)(process.execPath, ["dist/cli.js", ...args], { env: { ...env, ...more } })).stdout;
  assert.match(await nibblelm({}, "inspect", "some/demo"), /^some\/demo: model, safetensors/);
  const blob = sha256(await readFile("src/demo/model.safetensors"));
  assert.not.ok((await readdir(join(cacheDir, "models--some--demo/blobs"))).includes(blob), "the weights were not downloaded");
  const call = ["generate", "--model", "some/demo", "-p", "Alice was", "--max-new-tokens", "4", "--device", "wasm"];
  const text = await nibblelm({}, ...call);
  assert.ok(text.trim().length > 0);
  assert.is(await nibblelm({ HF_HUB_OFFLINE: "1" }, ...call), text);
}));

test("a path that is there is a path", fresh(async ({ hub, cacheDir }) => {
  const path = join(cacheDir, "some/model");
  await mkdir(path, { recursive: true });
  assert.is((await openPathOrHub(path)).name, path);
  assert.is(hub.requests.length, 0);
}));

test("settings come from huggingface_hub's variables", async () => {
  const home = await mkdtemp(join(tmpdir(), "hub-home-"));
  await writeFile(join(home, "token"), "stored\n");
  const settings = await hubSettings({}, { HF_HOME: home, HF_ENDPOINT: "http://mirror/", HF_HUB_OFFLINE: "1" });
  assert.equal(settings, { endpoint: "http://mirror", token: "stored", cacheDir: join(home, "hub"), offline: true });
  assert.is((await hubSettings({}, { HF_HOME: home, HF_TOKEN: "given" })).token, "given");
  assert.is((await hubSettings({}, { HF_HOME: home, HF_HUB_CACHE: "/elsewhere" })).cacheDir, "/elsewhere");
  await rm(home, { recursive: true });
});

test.run();
