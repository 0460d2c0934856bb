// What `deno publish` would send to JSR: the entries of the package with their types, and the same dependencies.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { run } from "../support/process.mjs";
import { tool } from "../support/project.mjs";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const json = (file) => JSON.parse(readFileSync(join(ROOT, file), "utf8"));

export async function jsr(report) {
  console.log("JSR");
  const [ours, theirs] = [json("package.json"), json("jsr.json")];
  await report.check("jsr.json names what package.json names", () => {
    const entries = Object.entries(ours.exports).filter(([, target]) => target.default?.endsWith(".js"));
    assert.deepEqual(theirs.exports, Object.fromEntries(entries.map(([name, target]) => [name, target.default])));
    assert.equal(theirs.version, ours.version);
    const versions = { ...ours.devDependencies, ...ours.dependencies };
    for (const [name, target] of Object.entries(theirs.imports)) if (!name.startsWith("#")) assert.equal(target, `npm:${name}@${versions[name]}`);
  });
  await report.check("deno publish --dry-run: types of every entry resolve", async () => {
    await run(tool("@deno/linux-x64-glibc/deno"), ["publish", "--dry-run", "--allow-dirty", "--config", "jsr.json"], { cwd: ROOT });
  });
}
