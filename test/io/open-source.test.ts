// Models from bytes, files, streams, responses and a web server: the same reads, and sentences for what goes wrong.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { suite } from "uvu";
import * as assert from "uvu/assert";
import { FormatError, ShapeError } from "../../src/errors.ts";
import { openSource, type SourceInput } from "../../src/io/open-source.ts";
import type { SourceFolder } from "../../src/io/types.ts";
import { expectError } from "../support/formats.ts";

const bytes = Uint8Array.from({ length: 200_000 }, (_, i) => (i * 7) % 251);
const text = new TextEncoder().encode("GGUF and more");

async function reads(folder: SourceFolder, file: string): Promise<void> {
  const source = await folder.open(file);
  assert.is(source.size, bytes.length);
  for (const [offset, length] of [[0, 8], [65530, 20], [100_000, 100_000], [5, 0]]) assert.equal(await source.read(offset, length), bytes.slice(offset, offset + length));
  await expectError(() => source.read(199_999, 2), FormatError, /read past the end/);
  await source.close();
}

const test = suite("openSource");

test("bytes, blobs, files, streams and responses", async () => {
  for (const input of [bytes, new Blob([bytes]), new Blob([bytes]).stream(), new Response(bytes)] as SourceInput[]) {
    const folder = await openSource(input);
    assert.equal(await folder.list(), ["model.safetensors"]);
    await reads(folder, "model.safetensors");
  }
  assert.equal(await (await openSource(text)).list(), ["model.gguf"]);
  assert.equal(await (await openSource(new File([text], "my.gguf"))).list(), ["my.gguf"]);
  assert.equal(await (await openSource(text, { name: "a.bin" })).list(), ["a.bin"]);
  const files = [new File(["{}"], "config.json"), new File([bytes], "model.safetensors")];
  const folder = await openSource(files);
  assert.equal([await folder.list(), await folder.readText("config.json"), await folder.has("x")], [["config.json", "model.safetensors"], "{}", false]);
  await reads(folder, "model.safetensors");
  assert.is(await openSource(folder), folder);
});

test("what is none of them is refused", async () => {
  await expectError(() => openSource(new Response("no", { status: 500, statusText: "Broken" })), FormatError, /answer: expected 200 OK, got 500 Broken/);
  await expectError(() => openSource(["a"] as never), ShapeError, /source: expected files, got string/);
  await expectError(() => openSource({} as never), ShapeError, /expected a URL, bytes/);
});

let ranges: string[] = [];
const STORE: Record<string, Uint8Array> = { "/m/config.json": new TextEncoder().encode("{}"), "/m/model.safetensors": bytes, "/m/empty.gguf": new Uint8Array(), "/changing.gguf": bytes };

function serve(request: IncomingMessage, response: ServerResponse): void {
  const { pathname } = new URL(request.url!, "http://host");
  const body = STORE[pathname];
  ranges.push(request.headers.range ?? "none");
  if (pathname === "/plain.gguf") return void response.end("whole");
  if (pathname === "/broken.gguf") return void response.writeHead(503).end();
  if (!body) return void response.writeHead(404).end();
  const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range!)!.map(Number);
  if (from >= body.length) return void response.writeHead(416).end();
  const end = Math.min(to + 1, body.length);
  const etag = pathname === "/changing.gguf" ? `"${ranges.length}"` : '"same"';
  response.writeHead(206, { "content-range": `bytes ${from}-${end - 1}/${body.length}`, etag }).end(body.subarray(from, end));
}

async function withServer(work: (base: string) => Promise<void>): Promise<void> {
  const server: Server = createServer(serve);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  ranges = [];
  try {
    await work(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test("a web server, by range requests", () => withServer(async (base) => {
  const folder = await openSource(new URL(`${base}/m`));
  assert.equal(await folder.list(), ["config.json", "model.safetensors"]);
  assert.equal([await folder.has("config.json"), await folder.has("none.json"), await folder.readText("config.json")], [true, false, "{}"]);
  const asked = ranges.length;
  await reads(folder, "model.safetensors");
  // One request for each read of more than a page, none for what the first page holds.
  assert.equal(ranges.slice(asked), ["bytes=65530-65549", "bytes=100000-199999"]);
  await reads(await openSource(new URL(`${base}/m/model.safetensors?token=1`)), "model.safetensors");
  assert.is((await (await openSource(new URL(`${base}/m/empty.gguf`))).open("empty.gguf")).size, 0);
}));

test("into memory that is used again, whether or not bodies are streams of bytes", () => withServer(async (base) => {
  const plain = async (...request: Parameters<typeof fetch>): Promise<Response> => {
    const { body, status, headers } = await fetch(...request);
    return new Response(body!.pipeThrough(new TransformStream()), { status, headers });
  };
  for (const options of [{}, { fetch: plain as typeof fetch }]) {
    const source = await (await openSource(new URL(`${base}/m`), options)).open("model.safetensors");
    const into = new Uint8Array(100_000);
    assert.is(await source.read(1000, into.length, into), into);
    assert.equal(into, bytes.slice(1000, 101_000));
    const [a, b] = await Promise.all([source.read(0, 70_000), source.read(100_000, 70_000)]);
    assert.equal([a, b], [bytes.slice(0, 70_000), bytes.slice(100_000, 170_000)]);
  }
}));

test("what a web server may answer instead", () => withServer(async (base) => {
  const open = async (path: string): Promise<unknown> => (await openSource(new URL(base + path))).open(path.slice(1));
  await expectError(() => open("/plain.gguf"), FormatError, /range request: expected 206 Partial Content, got 200 OK\n {2}hint: this server ignores range requests/);
  await expectError(() => open("/broken.gguf"), FormatError, /expected 206 Partial Content, got 503/);
  await expectError(() => open("/none.gguf"), FormatError, /no such file/);
  const changing = await (await openSource(new URL(`${base}/changing.gguf`))).open("changing.gguf");
  await expectError(() => changing.read(70_000, 10), FormatError, /file changed while it was read/);
  const signal = AbortSignal.abort(new Error("enough"));
  const folder = await openSource(new URL(`${base}/m`), { signal });
  const failed = await folder.open("config.json").then(() => undefined, (error: Error) => error);
  assert.is(failed?.message, "enough");
}));

test.run();
