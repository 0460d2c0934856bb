// A static web server as any host has it: range requests, and the headers of cross-origin isolation if asked for.
import { createReadStream, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html", ".js": "text/javascript", ".json": "application/json", ".txt": "text/plain" };
const ISOLATED = { "cross-origin-opener-policy": "same-origin", "cross-origin-embedder-policy": "require-corp" };

/** @param folders path prefix → folder, the longest prefix first. */
export async function serveSite(folders, { isolated = false, csp } = {}) {
  const requests = [];
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url, "http://host").pathname));
    const [prefix, folder] = Object.entries(folders).find(([start]) => path.startsWith(start)) ?? [];
    const file = folder && join(folder, path.slice(prefix.length));
    requests.push({ path, range: request.headers.range });
    const info = file && statSync(file, { throwIfNoEntry: false });
    if (!info?.isFile()) return void response.writeHead(404).end();
    const headers = { "content-type": TYPES[extname(file)] ?? "application/octet-stream", etag: `"${info.size}-${info.mtimeMs}"`, ...(isolated ? ISOLATED : {}), ...(csp ? { "content-security-policy": csp } : {}) };
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    if (from === undefined) return void createReadStream(file).pipe(response.writeHead(200, { ...headers, "content-length": info.size }));
    const [start, end] = [Number(from), Math.min(Number(to), info.size - 1)];
    if (start > end) return void response.writeHead(416).end();
    createReadStream(file, { start, end }).pipe(response.writeHead(206, { ...headers, "content-length": end - start + 1, "content-range": `bytes ${start}-${end}/${info.size}` }));
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`, requests,
    close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }),
  };
}
