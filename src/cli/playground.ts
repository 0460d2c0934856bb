import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import sirv from "sirv";
import { DeviceError, ShapeError } from "../errors.ts";
import { cliCommand } from "./command.ts";

/** Other programs on this computer may reach it, other computers not. */
const HOST = "127.0.0.1";

/** What makes a page cross-origin isolated, which is what threads need. */
const HEADERS = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp", "Cache-Control": "no-cache" };

export const command = cliCommand({
  name: "playground",
  flags: ["port", "json"],
  examples: ["nibblelm playground", "nibblelm playground --port 8080"],
}, async ({ port = 4142 }, { output, packageFolder, signal }) => {
  if (port < 0 || port > 65535) throw new ShapeError("playground", "--port", { expected: "0 to 65535; 0 takes any that is free", got: port });
  const folder = fileURLToPath(new URL("dist/playground/", packageFolder));
  const files = sirv(folder, { dev: true, setHeaders: (response) => { for (const [name, value] of Object.entries(HEADERS)) response.setHeader(name, value); } });
  const server = createServer((request, response) => files(request, response, () => void response.writeHead(404).end("no such file")));
  const url = `http://${HOST}:${await listen(server, port)}/`;
  output.line(`${output.paint.good("playground")}  ${url}`);
  output.note("Open it in a browser: Chrome, Edge, Firefox or Safari. Everything runs in the page. Ctrl-C ends.");
  output.object({ url });
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});

function listen(server: Server, port: number): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => reject(new DeviceError("playground", `port ${port} is not free`, { got: cause.code, hint: "--port 0 takes any that is free", cause })));
    server.listen(port, HOST, () => resolve((server.address() as AddressInfo).port));
  });
}
