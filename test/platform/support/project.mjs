// A project as a user has it: the packed tarball installed into an empty folder, the examples beside it.
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const ROOT = fileURLToPath(new URL("../../../", import.meta.url));
const HERE = join(ROOT, "test/platform");
const npm = (args, cwd) => execFileSync("npm", [...args, "--loglevel=error"], { cwd, stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" });

/** The package must have been built. @returns the project's folder. */
export function makeProject() {
  if (!existsSync(join(ROOT, "dist/types/index.d.ts"))) throw new Error("npm run build comes first");
  if (!existsSync(join(HERE, "node_modules"))) npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], HERE);
  const folder = mkdtempSync(join(tmpdir(), "nibblelm-platform-"));
  npm(["pack", "--ignore-scripts", "--pack-destination", folder], ROOT);
  const tarball = readdirSync(folder).find((file) => file.endsWith(".tgz"));
  writeFileSync(join(folder, "package.json"), JSON.stringify({ private: true, type: "module", dependencies: { nibblelm: `file:${tarball}` } }));
  npm(["install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"], folder);
  for (const name of ["webgpu", "hono", "@hono"]) symlinkSync(join(HERE, "node_modules", name), join(folder, "node_modules", name));
  cpSync(join(HERE, "examples"), folder, { recursive: true });
  cpSync(join(HERE, "edge"), join(folder, "edge"), { recursive: true });
  // One window of 64 tokens and a bit: every step sees the same text, so the loss must fall.
  writeFileSync(join(folder, "text.txt"), readFileSync(join(ROOT, "src/demo/alice.txt"), "utf8").slice(0, 250));
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** By default `edge/worker.mjs`, measured. As a user's bundler for Workers does it: the conditions choose modules in place of bytes. */
export async function bundleWorker(folder, worker = "measured-worker.mjs") {
  cpSync(join(HERE, "support/measured-worker.mjs"), join(folder, "measured-worker.mjs"));
  await build({
    absWorkingDir: folder, entryPoints: { worker }, outdir: join(folder, "worker"), bundle: true, minify: true, format: "esm", target: "es2022",
    conditions: ["workerd", "worker", "browser"], loader: { ".wasm": "copy" }, assetNames: "[name]", logLevel: "error",
  });
  cpSync(join(folder, "edge/worker.capnp"), join(folder, "worker/worker.capnp"));
}

export const tool = (path) => join(HERE, "node_modules", path);
export const demo = (folder, file = "") => join(folder, "node_modules/nibblelm/src/demo", file);
