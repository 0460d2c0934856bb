import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES = { ".html": "text/html", ".mjs": "text/javascript", ".json": "application/json" };
const FLAGS = ["--no-sandbox", "--disable-quic", "--enable-unsafe-webgpu", "--enable-features=Vulkan", "--use-webgpu-adapter=swiftshader"];

/** Files below the repository's root, and an empty page at `/`. */
function serve() {
  return new Promise((resolve) => {
    const server = createServer((request, response) => {
      const path = normalize(decodeURIComponent(new URL(request.url, "http://localhost").pathname)).replace(/^[/.]+/, "");
      if (path === "favicon.ico") return void response.writeHead(204).end();
      if (path === "") return void response.writeHead(200, { "content-type": TYPES[".html"] }).end("<!doctype html><title>gpu</title>");
      const file = [join(".", path), join(".", `.${path}`)].find((name) => existsSync(name) && statSync(name).isFile());
      if (!file) return void response.writeHead(404).end();
      response.writeHead(200, { "content-type": TYPES[extname(file)] ?? "application/octet-stream" });
      createReadStream(file).pipe(response);
    });
    server.listen(0, "127.0.0.1", () => resolve(server));
  });
}

/** Loads the module into an empty page of Debian's Chromium and calls its `run`. */
export async function runInChromium(module, steps) {
  const { chromium } = await import("playwright-core");
  const server = await serve();
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
  try {
    const page = await browser.newPage();
    page.on("console", (message) => console.log(message.text()));
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    return await page.evaluate(async ([path, count]) => (await import(path)).run(count), [`/${module}`, steps]);
  } finally {
    await browser.close();
    server.close();
  }
}
