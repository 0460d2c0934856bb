// Every page of `entries/`: its example, as it stands there, runs in Node from the packed package.
import assert from "node:assert/strict";
import { cpSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { transform } from "esbuild";
import { run } from "../support/process.mjs";

const PAGES = fileURLToPath(new URL("../entries/", import.meta.url));

export async function entries(report, folder) {
  console.log("Pages of the entries");
  cpSync(join(PAGES, "files.mjs"), join(folder, "files.mjs"));
  for (const page of readdirSync(PAGES).filter((name) => name.endsWith(".md"))) {
    await report.check(page, async () => {
      const code = /```js\n([^]*?)```/.exec(readFileSync(join(PAGES, page), "utf8"))?.[1];
      assert.ok(code, "an example");
      // Node 20 has no `using`; everything else is run as it is printed.
      writeFileSync(join(folder, "page-example.mjs"), (await transform(code, { target: "node20" })).code);
      const lines = (await run(process.execPath, ["page-example.mjs"], { cwd: folder })).trim().split("\n");
      assert.ok(lines.at(-1).length > 0, "it prints something");
      return lines.at(-1).slice(0, 80);
    });
  }
}
