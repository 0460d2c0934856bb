// `bench quantize` from the packed tarball in every runtime, as a table. npm run build && node bench/runtimes.mjs [NAME...]: Node, Deno, Bun, Chromium, workerd
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { bundlePage, launchChromium } from "../test/platform/support/browser.mjs";
import { run } from "../test/platform/support/process.mjs";
import { bundleWorker, makeProject, tool } from "../test/platform/support/project.mjs";
import { startWorkerd } from "../test/platform/support/servers.mjs";
import { serveSite } from "../test/platform/support/site.mjs";

const SIZES = ["1536x576", "4096x4096"];
const SOFTWARE_GPU_SIZES = ["1536x576"]; // a software adapter computes on the CPU
const OPS = ["quantize-nf4", "quantize-nf4-dq"];
const SECONDS = 0.5; // a case
const wanted = (name) => process.argv.length < 3 || process.argv.slice(2).some((word) => name.startsWith(word));
const CLI = "node_modules/nibblelm/dist/cli.js";
const HERE = fileURLToPath(new URL("runtimes/", import.meta.url));

const COMMANDS = {
  "Node 20": [tool("node-20/bin/node")], "Node 22": [tool("node-22/bin/node")], "Node 24": [tool("node-24/bin/node")],
  Deno: [tool("@deno/linux-x64-glibc/deno"), "run", "-A"], Bun: [tool("@oven/bun-linux-x64/bin/bun")],
};

const rows = [];
const add = (runtime, device, { op, shape, gelemPerS, percentOfLimit }) => {
  rows.push([runtime, device, op, shape, (1000 * gelemPerS).toFixed(0), percentOfLimit?.toFixed(0) ?? ""]);
  console.error(rows.at(-1).join("  "));
};

async function commandLine(folder, name, [command, ...before], device, sizes) {
  const lines = (await run(command, [...before, CLI, "bench", "quantize", "--device", device, "--size", sizes.join(","), "--json"], { cwd: folder })).trim().split("\n").map((line) => JSON.parse(line));
  for (const row of lines) if (row.event === "case") add(name, device === "wasm" ? `wasm, ${row.build}` : device, { ...row, gelemPerS: row.gelem_per_s, percentOfLimit: row.percent_of_limit });
}

async function chromium(folder) {
  cpSync(join(HERE, "page.mjs"), join(folder, "bench-page.mjs"));
  const site = join(folder, "bench-site");
  mkdirSync(site);
  await bundlePage(folder, ["bench-page.mjs"], site);
  writeFileSync(join(site, "index.html"), "<!doctype html><script type=module src=bench-page.js></script>");
  const [server, browser] = [await serveSite({ "/": site }, { isolated: true }), await launchChromium()];
  try {
    const page = await browser.newPage();
    await page.goto(`${server.url}/index.html`);
    await page.waitForFunction("globalThis.benchQuantize !== undefined");
    for (const [kind, sizes] of [["wasm", SIZES], ["webgpu", SOFTWARE_GPU_SIZES]]) {
      const { cases } = await page.evaluate(`benchQuantize(${JSON.stringify(kind)}, ${JSON.stringify(sizes)}, ${SECONDS})`);
      for (const row of cases) add(`Chromium ${browser.version().split(".")[0]}`, kind === "wasm" ? `wasm, ${row.build}` : kind, row);
    }
  } finally {
    await browser.close();
    await server.close();
  }
}

/** Timed from outside: what `times` runs take beyond none at all, the median of seven. */
async function workerd(folder) {
  cpSync(join(HERE, "worker.mjs"), join(folder, "bench-worker.mjs"));
  await bundleWorker(folder, "bench-worker.mjs");
  cpSync(join(HERE, "worker.capnp"), join(folder, "worker/worker.capnp"));
  const server = await startWorkerd(tool("@cloudflare/workerd-linux-64/bin/workerd"), join(folder, "worker"), {});
  const took = async (op, size, times) => {
    const began = performance.now();
    const response = await fetch(`${server.url}/?${new URLSearchParams({ op, size, times })}`);
    const answer = await response.json();
    return { ms: performance.now() - began, ...answer };
  };
  try {
    for (const size of SIZES) {
      for (const op of OPS) {
        let times = 1;
        while ((await took(op, size, times)).ms < 500 * SECONDS) times *= 2; // and the engine's optimizing tier is warm
        const rates = [];
        for (let i = 0; i < 7; i++) {
          const [none, all] = [await took(op, size, 0), await took(op, size, times)];
          rates.push((times * all.elements) / (all.ms - none.ms) / 1e6);
        }
        add("workerd, from outside", "wasm", { op, shape: size, gelemPerS: rates.sort((a, b) => a - b)[3] });
      }
    }
  } finally {
    await server.stop();
  }
}

const { folder, remove } = makeProject();
try {
  for (const [name, command] of Object.entries(COMMANDS)) if (wanted(name)) await commandLine(folder, name, command, "wasm", SIZES);
  for (const name of ["Node 22", "Deno"]) if (wanted(name)) await commandLine(folder, name, COMMANDS[name], "webgpu", SOFTWARE_GPU_SIZES);
  if (wanted("Chromium")) await chromium(folder);
  if (wanted("workerd")) await workerd(folder);
} finally {
  remove();
}
const head = ["runtime", "device", "case", "shape", "M elements/s", "% of limit"];
for (const row of [head, head.map(() => "---"), ...rows]) console.log(`| ${row.join(" | ")} |`);
process.exit();
